"""Position out of dense features, as a linear step before a head: what it removes is fitted and kept in checkpoints."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from mmengine.dist import all_gather_object
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from leopart_mm.clustering.moments import Moments
from leopart_mm.clustering.position import black_image_basis, cell_places, position_basis, remove_directions
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.processes import broadcast_result, gather_parts
from leopart_mm.models.fitting.state import FittedState
from leopart_mm.registry import MODELS

Grid = tuple[int, int]
ANY_GRID = (0, 0)


class PositionDebias(FittedState, BaseModule):
    """Removes from a map the directions in which features tell where they lie; a projection per patch grid.

    A head applies it to the map that it reads (`FittableHead.debiased`), and the segmentor fits it before the head.

    Args:
        rank: Number of directions.

    Attributes:
        reads_features: Whether `fit` reads the features of all images.
        grids, bases: Fitted: (G, 2) patch grids, (0, 0) for all others; and (G, C, rank) orthonormal directions.
        black_map: Gives the map (C, h, w) of a black image on a grid; the model that owns the network sets it.
    """

    STATE = ('grids', 'bases')
    reads_features: ClassVar[bool] = False

    def __init__(self, rank: int, init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
            raise ValueError(f'{type(self).__name__}: rank={rank!r} must be a whole number of at least 1.')
        self.rank = rank
        self.black_map: Callable[[Grid], Tensor] | None = None

    def settings(self) -> dict[str, Any]:
        """Kind and rank."""
        return dict(type=type(self).__name__, rank=self.rank)

    @abstractmethod
    def fit(self, stream: Iterable[FeatureBatch], in_index: int) -> None:
        """Fit on a stream of features; with several processes, on the parts of all of them together."""

    def finish(self) -> None:
        """Make all processes hold the same, after the head was fitted. A collective call."""

    @torch.no_grad()
    def forward(self, features: Tensor) -> Tensor:
        """The map (B, C, h, w) float32 without position.

        Raises:
            NotFittedError: If nothing was fitted or loaded.
            ValueError: If the map has another number of channels than those fitted on, or a grid that was not fitted.
        """
        with torch.autocast(features.device.type, enabled=False):
            basis = self.basis_of(tuple(features.shape[-2:]))
            if len(basis) != features.shape[1]:
                raise ValueError(f'{type(self).__name__} was fitted on {len(basis)} channels, but the backbone gives '
                                 f'{features.shape[1]}: the checkpoint belongs to another backbone or in_index.')
            return remove_directions(features.float(), basis)

    def basis_of(self, grid: Grid) -> Tensor:
        """The directions (C, rank) of a grid."""
        self.require_fitted()
        known = self.known_grids()
        place = known.get(grid, known.get(ANY_GRID))
        if place is None:
            raise ValueError(f'{type(self).__name__} was not fitted for a grid of {grid[0]} x {grid[1]} patches, only '
                             f'for {", ".join(f"{h} x {w}" for h, w in known) or "none"}: give images of these sizes, '
                             'or use UnsupervisedSegmentor or RetrievalSegmentor, which fit what is missing.')
        return self.bases[place]

    def known_grids(self) -> dict[Grid, int]:
        """Grid -> its place in `bases`."""
        if self._known is None:
            self._known = {tuple(grid): place for place, grid in enumerate(self.grids.tolist())}
        return self._known

    def keep_bases(self, bases: dict[Grid, Tensor], **info: Any) -> None:
        """Store directions by grid."""
        grids = sorted(bases)
        self.keep(dict(grids=torch.tensor(grids, dtype=torch.int64).view(-1, 2),
                       bases=torch.stack([bases[grid] for grid in grids]) if grids else torch.zeros(0, 0, self.rank)),
                  info)
        self._known = None

    def reset(self) -> None:
        """Forget what was fitted."""
        super().reset()
        self._known: dict[Grid, int] | None = None

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._known = None


@MODELS.register_module()
class BlackImageDebias(PositionDebias):
    """Removes the leading directions in which the features of a black image differ, fitted per patch grid.

    `INSID3: Training-free in-context segmentation with DINOv3 <https://arxiv.org/abs/2603.28480>`_;
    docs/methods/debias.md. The network runs on one black image per grid, when a map of that grid comes first, also
    after fitting: what is removed follows from network and grid alone.

    Args:
        rank: Number of directions, below the number of channels. The published code has 500 of 1024.
    """

    def fit(self, stream: Iterable[FeatureBatch], in_index: int) -> None:
        """Forget other networks' directions; those of a grid are found when it comes."""
        self.keep_bases({})

    def basis_of(self, grid: Grid) -> Tensor:
        """The directions (C, rank) of a grid; for a new one the network runs on a black image."""
        self.require_fitted()
        if grid not in self.known_grids() and self.black_map is not None:
            self._add([grid])
        return super().basis_of(grid)

    def finish(self) -> None:
        """Find the directions of the grids that other processes have seen."""
        seen = {grid for grids in all_gather_object(list(self.known_grids())) for grid in grids}
        self._add(sorted(seen - set(self.known_grids())))

    def _add(self, grids: Sequence[Grid]) -> None:
        if not grids:
            return
        bases = {grid: self.bases[place] for grid, place in self.known_grids().items()}
        for grid in grids:
            bases[grid] = black_image_basis(self.black_map(grid).flatten(1).T, self.rank).to(self.fitted.device)
        self.keep_bases(bases, **self.info)


@MODELS.register_module()
class PositionRegressionDebias(PositionDebias):
    """Removes the directions along which row and column can be read off features, found by repeated regression.

    Removal of absolute spatial attributes (RASA), of `Franca <https://arxiv.org/abs/2507.14137>`_;
    docs/methods/debias.md. Row and column are shares of the grid, so one fit serves all grids. The regressions are
    solved exactly, from the covariance of all features, so that the result does not depend on an optimiser.

    Args:
        rank: Number of directions, two a step, below the number of channels. The published code takes 9 steps, 18.
        ridge: Share of the mean variance of a channel that is added to all variances.

    Raises:
        ValueError: If `rank` is odd, or `ridge` is not positive.
    """

    reads_features = True

    def __init__(self, rank: int = 18, ridge: float = 1e-3, init_cfg: dict | list | None = None) -> None:
        super().__init__(rank, init_cfg)
        if rank % 2 or ridge <= 0:
            raise ValueError(f'PositionRegressionDebias: rank={rank} must be even, two directions a step, and '
                             f'ridge={ridge} greater than 0.')
        self.ridge = ridge

    def settings(self) -> dict[str, Any]:
        """Kind, rank and ridge."""
        return dict(super().settings(), ridge=self.ridge)

    @torch.no_grad()
    def fit(self, stream: Iterable[FeatureBatch], in_index: int) -> None:
        """Fit on all features.

        Raises:
            ValueError: If there are no features, features with NaN, or no more channels than `rank`.
        """
        parts = gather_parts(lambda: self._read(stream, in_index))
        basis, explained = broadcast_result(lambda: self._solve(parts))
        self.keep_bases({ANY_GRID: basis}, position_r2=explained)
        print_log(f'Row and column explained by the features (R²): {explained[0]:.3f}; without {self.rank} directions '
                  f'{explained[-1]:.3f}.', logger='current')

    def _read(self, stream: Iterable[FeatureBatch], in_index: int) -> dict[str, Any]:
        moments = Moments()
        for batch in stream:
            maps = batch.features.maps[in_index].float()
            grid = tuple(maps.shape[-2:])
            places = cell_places(grid, maps.device)
            for index, name in enumerate(batch.names):
                rows, columns, _ = batch.content(index, grid)
                vectors = torch.cat([maps[index].permute(1, 2, 0), places], -1)[rows, columns]
                moments.update(vectors.flatten(0, 1), name)
        return moments.state()

    def _solve(self, parts: list[dict[str, Any]]) -> tuple[Tensor, list[float]]:
        return position_basis(Moments.merged(parts).covariance(), self.rank, self.ridge)


def build_debias(config: dict | nn.Module | None) -> nn.Module | None:
    """A PositionDebias from its config, or one that is built already; None: none.

    Raises:
        ValueError: If it is no config of one; the message lists those that there are.
    """
    if config is None or isinstance(config, PositionDebias):
        return config
    given = config.get('type') if isinstance(config, Mapping) else None
    kind = MODELS.get(given) if isinstance(given, str) else given
    if not (isinstance(kind, type) and issubclass(kind, PositionDebias)):
        known = ', '.join(f'leopart_mm.{name}' for name, found in MODELS.module_dict.items() if isinstance(found, type)
                          and issubclass(found, PositionDebias))
        raise ValueError(f'debias={config!r} is none: take debias=dict(type=..., rank=...) with one of {known}, or '
                         'None.')
    if 'rank' not in config and kind is BlackImageDebias:
        raise ValueError(f'debias={config!r} lacks the number of directions: rank=8 is a start, see '
                         'docs/methods/debias.md.')
    return MODELS.build(config)
