"""CommunityDetection: clusters that lie beside each other become one object."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from leopart_mm.clustering.communities import UNCONNECTED, all_seeds, require_infomap
from leopart_mm.clustering.cooccurrence import PUBLISHED_ANGLES, CoOccurrence, cooccurrence_edges
from leopart_mm.clustering.network import ClusterNetwork
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.processes import broadcast_result, gather_parts
from leopart_mm.models.postprocessors.fitted import FittedPostprocessor
from leopart_mm.registry import MODELS


@MODELS.register_module()
class CommunityDetection(FittedPostprocessor):
    """Merges clusters (parts) into communities (objects) by how often they touch.

    Source: docs/methods/leopart.md §10 steps 5 to 7.

    `fit` reads the maps once and keeps a K x K matrix, whatever the number of images. Infomap then runs with every
    seed: M maps before become M * seeds, those of the first map first. Label 0 is background: clusters without an edge
    (the background is usually one, since it touches everything a little); communities count from 1.

    Args:
        weight_threshold: Two clusters are joined where both directed co-occurrences reach this value.
        markov_time: Infomap's: above 1 fewer and larger communities.
        preferred_modules: Infomap is drawn to this number; None leaves it free. There may be fewer or more.
        seeds: Infomap seeds or their number.
        num_trials: Infomap runs for each seed, of which the shortest code is kept.
        distances: Of neighbours, in pixels of a map of `map_size`.
        angles: Of neighbours; the default is the published one (sixth: 4/3 pi).
        map_size: Label maps are resized to this size (nearest) before neighbours are counted; None: the patch grid.
        unconnected: What becomes of clusters without an edge: 'background' (published), or 'nearest': the community of
            the connected cluster that they lie beside most.

    Attributes: `communities` (S, K) int64, `matrix` (M, K, K) directed co-occurrence, `frequencies` (M, K) int64, in
    pixels.

    Raises:
        ValueError: A setting is unknown or out of range.
    """

    STATE = ('communities', 'matrix', 'frequencies')

    def __init__(self,
                 weight_threshold: float = 0.09,
                 markov_time: float = 2.,
                 preferred_modules: int | None = 20,
                 seeds: int | Sequence[int] = 10,
                 num_trials: int = 1,
                 distances: Sequence[float] = (1, 2),
                 angles: Sequence[float] = PUBLISHED_ANGLES,
                 map_size: tuple[int, int] | None = (100, 100),
                 unconnected: str = 'background',
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.seeds = tuple(range(seeds)) if isinstance(seeds, int) else tuple(int(seed) for seed in seeds)
        if not self.seeds or not weight_threshold > 0 or not distances or not angles:
            raise ValueError(f'CommunityDetection: seeds={seeds!r}, distances={distances!r} and angles must not be '
                             f'empty, and weight_threshold={weight_threshold} must be positive.')
        if unconnected not in UNCONNECTED:
            raise ValueError(f'CommunityDetection: unconnected={unconnected!r} is unknown; there are: '
                             f'{", ".join(UNCONNECTED)}.')
        self.weight_threshold = weight_threshold
        self.options = dict(markov_time=markov_time, preferred_modules=preferred_modules, num_trials=num_trials)
        self.distances = tuple(distances)
        self.angles = tuple(angles)
        self.map_size = None if map_size is None else tuple(map_size)
        self.unconnected = unconnected

    @property
    def num_labels(self) -> int | None:
        """The largest number of communities of a seed, and the background; None before fitting."""
        return int(self.communities.max()) + 1 if self.is_fitted else None

    def network(self) -> ClusterNetwork:
        """The network of the first label map with the communities of the first seed, for pictures.

        Raises:
            NotFittedError: If nothing was fitted or loaded.
        """
        self.require_fitted()
        return ClusterNetwork(
            matrix=self.matrix[0].double().cpu().numpy(), communities=self.communities[0].cpu().numpy(),
            frequencies=self.frequencies[0].cpu().numpy(),
            threshold=self.weight_threshold - 1e-7)  # `matrix` is kept in float32

    def settings(self) -> dict[str, Any]:
        """The seeds."""
        return dict(seeds=list(self.seeds))

    @torch.no_grad()
    def fit(self, stream: Iterable[FeatureBatch]) -> None:
        """Count neighbours in the maps of all processes and find communities.

        Raises:
            ImportError: Infomap is missing.
            ValueError: No edge reaches `weight_threshold`, so that everything would be background.
        """
        require_infomap()
        parts = gather_parts(lambda: self._read(stream))
        values, info = broadcast_result(lambda: self._solve(parts, stream.num_labels))
        self.keep(values, info)

    def _read(self, stream: Iterable[FeatureBatch]) -> dict[str, Any]:
        counters: list[CoOccurrence] = []
        images = 0
        for batch in stream:
            counters = counters or [CoOccurrence(stream.num_labels, self.distances, self.angles, self.map_size)
                                    for _ in batch.labels]
            for members, (rows, columns, extent) in batch.content_groups(tuple(batch.labels.shape[-2:])):
                for counter, maps in zip(counters, batch.labels, strict=True):
                    counter.update(maps[members, rows, columns].cpu().numpy(), extent)
            images += len(batch)
        return dict(counters=[counter.state() for counter in counters], images=images)

    def _solve(self, parts: Sequence[dict[str, Any]], num_clusters: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        filled = [part['counters'] for part in parts if part['counters']]
        if not filled:
            raise ValueError('CommunityDetection saw no image: the data set for fitting is empty.')
        images = sum(part['images'] for part in parts)
        labels, matrices, frequencies, networks = [], [], [], []
        for counters in zip(*filled, strict=True):
            counter = CoOccurrence(num_clusters, self.distances, self.angles, self.map_size)
            for state in counters:
                counter.merge(state)
            matrix = counter.matrix
            edges = cooccurrence_edges(matrix, self.weight_threshold)
            if not len(edges):
                largest = np.minimum(matrix, matrix.T).max(initial=0)
                raise ValueError(f'CommunityDetection: no two of {int((counter.pixels > 0).sum())} clusters touch '
                                 f'often enough: the largest weight is {largest:.4f}, the threshold '
                                 f'{self.weight_threshold}. Lower weight_threshold (tools/search_communities.py finds '
                                 'one), or check that the maps before hold more than one cluster.')
            found = all_seeds(edges, matrix, self.seeds, self.unconnected, **self.options)
            labels += [torch.from_numpy(communities.labels) for communities in found]
            matrices.append(torch.from_numpy(matrix).float())
            frequencies.append(torch.from_numpy(counter.pixels))
            networks.append(dict(edges=len(edges), connected=len(np.unique(edges[:, :2])),
                                 present=int((counter.pixels > 0).sum()),
                                 modules=[communities.num_modules for communities in found],
                                 codelengths=[round(communities.codelength, 6) for communities in found]))
            _report(networks[-1], num_clusters)
        values = dict(communities=torch.stack(labels), matrix=torch.stack(matrices),
                      frequencies=torch.stack(frequencies))
        return values, dict(images=images, networks=networks)

    @torch.no_grad()
    def forward(self, labels: Tensor, features: DenseFeatures, data_samples: Sequence[Any] | None) -> Tensor:
        """Cluster ids (M, B, h, w) to communities (M * seeds, B, h, w) int64, 0 for background.

        Raises:
            NotFittedError: Nothing was fitted or loaded.
            ValueError: Fitted on another number of label maps.
        """
        self.require_fitted()
        number = len(self.seeds)
        if len(labels) * number != len(self.communities):
            raise ValueError(f'CommunityDetection was fitted on {len(self.communities) // number} label maps an image, '
                             f'but the stage before gives {len(labels)}: fit again.')
        return torch.stack([mapping[labels[index // number]] for index, mapping in enumerate(self.communities)])


def _report(network: dict[str, Any], num_clusters: int) -> None:
    print_log(f'Communities: {network["edges"]} edges between {network["connected"]} of {network["present"]} clusters '
              f'that occur (of {num_clusters}); modules by seed: {", ".join(map(str, network["modules"]))}',
              logger='current')
    if max(network['modules']) == 1:
        print_log('All connected clusters are one community: the label maps hold background and one label only. Raise '
                  'weight_threshold or lower markov_time.', logger='current', level=30)
