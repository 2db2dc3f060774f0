"""Principal masks: an image's cells split by principal direction, most similar cell, threshold, again and again.

Source: docs/methods/primaps.md §4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor

from leopart_mm.clustering.leading_direction import leading_directions
from leopart_mm.clustering.moments import gram
from leopart_mm.devices import float64_device, in_float64, move
from leopart_mm.files import printable

CHOICES = dict(orientation=('max_abs', 'library'), anchor=('free', 'any'), no_mask=('stop', 'nan'),
               erased=('background', 'nan'), single_background=('masks', 'rows'))
HELD_BYTES = dict(cpu=2**23, cuda=2**29)  # of features in float64 treated at once: a CPU's cache decides, see §18


@dataclass(frozen=True)
class PrincipalSettings:
    """How principal masks are made. The defaults are right where the published code is not; its way is an option.

    Args:
        threshold: A cell belongs to the mask if its cosine with the anchor is at least this share of the largest, in
            (0, 1]. 0.4 as published (0.35 in the published demo).
        max_free: Masks are taken as long as more than this share of the cells is free, in [0, 1).
        max_masks: At most so many masks of an image; 254, as files keep numbers as bytes. None as published.
        orientation: Sign of the principal direction, which decides the masks (§4.2):

            - 'max_abs': the free cell with the largest absolute cosine lies on its positive side.
            - 'library': the sign that torch's randomised SVD happens to give on this machine, as published (slow).
        anchor: 'free': the anchor is a free cell. 'any' as published: removed cells count as cosine 0, and the first
            of them is the anchor if all free cells lie on the negative side (§4.5).
        no_mask: If no cell is similar to the anchor: 'stop', and keep the masks so far; 'nan' as published: masks
            of NaN until `stalled` passes changed nothing, and the whole image is ignored.
        stalled: Number of equal states of free cells that end the loop; only reached with no_mask='nan'.
        erased: If cleaning leaves no cell of any mask: 'background' everywhere, or 'nan' as published.
        single_background: Background of an image with one mask: what is not in it ('masks'), or, as published, the
            columns without a cell of it ('rows').

    Raises:
        ValueError: If a value is out of range or unknown.
    """

    threshold: float = 0.4
    max_free: float = 0.05
    max_masks: int | None = 254
    orientation: str = 'max_abs'
    anchor: str = 'free'
    no_mask: str = 'stop'
    stalled: int = 3
    erased: str = 'background'
    single_background: str = 'masks'

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(f'PrincipalSettings: threshold={self.threshold} must lie in (0, 1].')
        if not 0 <= self.max_free < 1:
            raise ValueError(f'PrincipalSettings: max_free={self.max_free} must lie in [0, 1).')
        if self.max_masks is not None and self.max_masks < 1:
            raise ValueError(f'PrincipalSettings: max_masks={self.max_masks} must be at least 1, or None.')
        if self.stalled < 2:
            raise ValueError(f'PrincipalSettings: stalled={self.stalled} must be at least 2.')
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f'PrincipalSettings: {name}={getattr(self, name)!r} is unknown; known are: '
                                 f'{", ".join(known)}.')

    @classmethod
    def published(cls, **changes: object) -> 'PrincipalSettings':
        """All options as published, but for `changes`."""
        return cls(**(dict(max_masks=None, orientation='library', anchor='any', no_mask='nan', erased='nan',
                           single_background='rows') | changes))


@dataclass(frozen=True)
class PrincipalMasks:
    """The masks of one image in the order in which they were taken; M may be 0.

    Args:
        directions: (M, C) float32, the principal direction of each, of unit length.
        anchors: (M,) int64, row-major index of the cell that it grew from.
        direction_similarity: (M, h, w) float32, cosines with the direction, 0 at cells that were not free.
        soft_masks: (M, h, w) float32, cosines with the anchor over their maximum, 0 below the threshold.
        free: (M, h, w) bool, cells that are free after the mask.
    """

    directions: Tensor
    anchors: Tensor
    direction_similarity: Tensor
    soft_masks: Tensor
    free: Tensor

    def __len__(self) -> int:
        return len(self.anchors)

    def to(self, device: torch.device | str) -> 'PrincipalMasks':
        """On another device."""
        return PrincipalMasks(*(getattr(self, field.name).to(device) for field in fields(self)))


@torch.no_grad()
def principal_masks(features: Tensor,
                    settings: PrincipalSettings = PrincipalSettings(),
                    directions: Sequence[Tensor] | None = None,
                    names: Sequence[str] | None = None) -> list[PrincipalMasks]:
    """Split each image of a batch into principal masks.

    Images are treated together on their device, in float64 (on the CPU where the device has none), as many as keep it
    busy; an image leaves the batch when it is done. Its masks do not depend on the others. On a CUDA GPU the host waits
    per round of masks: once for which images get another, and once or twice for whether the directions are found.

    Args:
        features: (B, C, h, w), raw features of any float type.
        settings: See PrincipalSettings.
        directions: B tensors (M_i, C): the i-th direction of an image is turned so that its product with the i-th row
            is positive; beyond the last row `settings.orientation` decides. None: always the latter.
        names: B names of the images, for messages.

    Returns:
        B sets of masks, on the device of `features`. An image of zeros has none; a constant one has one that holds
        every cell.

    Raises:
        ValueError: If a feature is NaN or infinite; the message names the image.
    """
    if features.dim() != 4 or 0 in features.shape[1:]:
        raise ValueError(f'Features must be (B, C, h, w) with cells, but are {tuple(features.shape)}.')
    if features.device.type != 'cuda':
        _require_finite(features, names)
    held = HELD_BYTES.get(float64_device(features).type, HELD_BYTES['cuda'])
    step = max(held // (8 * features.shape[1:].numel()), 1)
    found = []
    for start in range(0, len(features), step):
        part = slice(start, start + step)
        loop = _Loop(features[part], settings, None if directions is None else directions[part],
                     partial(_require_finite, features[part], None if names is None else names[part]))
        found += [masks.to(features.device) for masks in loop.run()]
    return found


def _require_finite(features: Tensor, names: Sequence[str] | None) -> None:
    finite = features.isfinite().all(1).flatten(1)
    if finite.all():
        return
    index = int((~finite).any(1).nonzero()[0])
    name = f'image {index} of the batch' if names is None else printable(names[index])
    raise ValueError(f'The features of {name} are NaN or infinite at {int((~finite[index]).sum())} of '
                     f'{finite.shape[1]} cells: check the image, the checkpoint and mixed precision of the backbone.')


class _Loop:
    """The loop over masks of a batch; every tensor has one entry per image that is not done, `images` says which.

    `require_finite` raises if a feature is not finite; a GPU asks for that with the first round.
    """

    def __init__(self, features: Tensor, settings: PrincipalSettings, directions: Sequence[Tensor] | None,
                 require_finite: Callable[[], None]) -> None:
        self.settings, self.given, self.grid = settings, directions, tuple(features.shape[-2:])
        self.require_finite = require_finite
        cells = in_float64(features).flatten(2).mT  # (B, n, C)
        self.norm = torch.linalg.vector_norm(cells, dim=2).clamp(min=1e-12)
        self.mean = cells.mean(1)
        self.cells = cells - self.mean[:, None]  # moments of centred cells do not cancel
        self.usable = self.norm > 1e-12  # a cell of zeros is similar to nothing, not to itself either
        self.free = torch.ones_like(self.usable)
        self.sums = self.cells.sum(1)
        self.products = torch.stack([gram(image) for image in self.cells])
        self.blocks: Tensor | None = None
        self.images = list(range(len(cells)))
        self.none = torch.zeros_like(self.free[:, 0])  # whether no cell was like the anchor of the latest mask
        self.passes: list[list[tuple[Tensor, ...]]] = [[] for _ in cells]
        self.channels = cells.shape[2]

    def run(self) -> list[PrincipalMasks]:
        """Masks of all images."""
        while True:
            self._keep(self._goes_on())
            if not self.images:
                return [self._collected(passes) for passes in self.passes]
            self._take_masks()

    def _goes_on(self) -> list[int]:
        """Rows of the images that get another mask. The only numbers of a round that the host reads are here."""
        settings = self.settings
        going = self.free.sum(1).double() / self.free.shape[1] > settings.max_free
        if settings.no_mask == 'stop' and settings.anchor == 'free':
            going &= (self.free & self.usable).any(1)
        going, none, finite = torch.stack([going, self.none, self.norm.isfinite().all(1)]).tolist()
        if not all(finite):
            self.require_finite()
        rows = []
        for row, image in enumerate(self.images):
            passes = self.passes[image]
            if none[row]:
                passes.pop()
            elif going[row] and len(passes) != settings.max_masks and not self._stalls(passes):
                rows.append(row)
        return rows

    def _stalls(self, passes: list[tuple[Tensor, ...]]) -> bool:
        """Whether the latest passes changed nothing, as published; else an image ends before."""
        if self.settings.no_mask != 'nan' or len(passes) <= self.settings.stalled:
            return False
        last = [free for *_, free in passes[-self.settings.stalled:]]
        return all(torch.equal(free, last[0]) for free in last[1:])

    def _keep(self, rows: list[int]) -> None:
        if len(rows) == len(self.images):
            return
        self.images = [self.images[row] for row in rows]
        index = move(torch.tensor(rows, dtype=torch.int64), self.cells.device)
        for name in ('norm', 'mean', 'cells', 'usable', 'free', 'sums', 'products', 'none', 'blocks'):
            if getattr(self, name) is not None:
                setattr(self, name, getattr(self, name)[index])

    def _take_masks(self) -> None:
        """One mask of every image."""
        directions, similarity = self._directions()
        allowed = torch.ones_like(self.free) if self.settings.anchor == 'any' else self.free & self.usable
        scores = similarity.masked_fill(~allowed, -torch.inf)
        anchors = (scores == scores.amax(1, keepdim=True)).to(torch.uint8).argmax(1)  # the first cell of the largest
        rows = torch.arange(len(anchors), device=anchors.device)
        cells = (self.cells[rows, anchors] + self.mean) / self.norm[rows, anchors][:, None]
        affinity = self._cosines(cells).masked_fill(~self.free, 0)
        largest = affinity.amax(1, keepdim=True)
        soft = affinity.masked_fill(affinity < self.settings.threshold * largest, 0) / largest
        removed = soft > 0
        if self.settings.no_mask == 'stop':
            soft, self.none = soft.nan_to_num(0), largest[:, 0] <= 0
        self.free = self.free & ~removed
        self._subtract(removed)
        for image, *part in zip(self.images, directions.float(), anchors, similarity, soft, self.free, strict=True):
            self.passes[image].append(tuple(part))

    def _directions(self) -> tuple[Tensor, Tensor]:
        """(A, C): principal directions of the free cells, oriented; and (A, n), the cosines of the free cells."""
        counts = self.free.sum(1)[:, None]
        covariances = self.products - self.sums[:, :, None] * (self.sums / counts)[:, None]
        directions, self.blocks = leading_directions(covariances, self.blocks)
        cosines = self._cosines(directions).masked_fill(~self.free, 0)
        flip = (-cosines).amax(1) > cosines.amax(1)
        if self.settings.orientation == 'library':
            flip = torch.stack([direction @ _library_direction(cells[free]) < 0 for direction, cells, free in
                                zip(directions, self.cells, self.free, strict=True)])
        for row, image in enumerate(self.images if self.given is not None else ()):
            if len(self.passes[image]) < len(self.given[image]):
                turned = move(self.given[image][len(self.passes[image])], directions.device).to(directions.dtype)
                flip[row] = directions[row] @ turned < 0
        sign = torch.where(flip, -1, 1)[:, None]
        return directions * sign, cosines * sign

    def _cosines(self, vectors: Tensor) -> Tensor:
        """(A, n) float32: products of vectors (A, C) with unit features. Rounded, so that equal cells tie."""
        products = (self.cells @ vectors[:, :, None])[..., 0] + (self.mean * vectors).sum(1, keepdim=True)
        return (products / self.norm).float()

    def _subtract(self, removed: Tensor) -> None:
        """Take the removed cells out of the moments, or sum up the free ones where they are fewer (on a GPU always)."""
        if self.cells.device.type == 'cuda':
            kept = self.cells * self.free[..., None]
            self.sums, self.products = kept.sum(1), kept.mT @ self.cells
            return
        for row, (cells, gone, free) in enumerate(zip(self.cells, removed, self.free, strict=True)):
            fewer = cells[gone] if gone.sum() < free.sum() else cells[free]
            sums, products = fewer.sum(0), gram(fewer)
            if gone.sum() < free.sum():
                sums, products = self.sums[row] - sums, self.products[row] - products
            self.sums[row], self.products[row] = sums, products

    def _collected(self, passes: list[tuple[Tensor, ...]]) -> PrincipalMasks:
        if not passes:
            empty = torch.zeros(0, *self.grid, device=self.cells.device)
            anchors = torch.zeros(0, dtype=torch.int64, device=empty.device)
            return PrincipalMasks(empty.new_zeros(0, self.channels), anchors, empty, empty, empty.bool())
        directions, anchors, *maps = (torch.stack(parts) for parts in zip(*passes, strict=True))
        return PrincipalMasks(directions, anchors, *(part.view(-1, *self.grid) for part in maps))


def _library_direction(cells: Tensor) -> Tensor:
    """(C,): the first direction of torch's randomised SVD of the cells (n, C), for its sign."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # the CPU's alone
        rank = min(3, *cells.shape)
        return torch.pca_lowrank(cells.float().cpu(), q=rank, center=True, niter=100)[2][:, 0].to(cells)
