"""CommunityDetection: clusters that lie beside each other become one object."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from leopart_mm.clustering.communities import UNCONNECTED, all_seeds, require_infomap
from leopart_mm.clustering.cooccurrence import PUBLISHED_ANGLES, CoOccurrence, cooccurrence_edges
from leopart_mm.clustering.kmeans_fit import seed_tuple
from leopart_mm.clustering.network import ClusterNetwork
from leopart_mm.geometry.patch_grid import image_index
from leopart_mm.models.fitting.base import FittedPostprocessor
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.models.fitting.processes import broadcast_result, gather_parts
from leopart_mm.models.fitting.tensor_stages import LookUpLabels, TensorStage
from leopart_mm.registry import MODELS


@dataclass
class _Part:
    """What a process has counted: a counter per label map of the stage before."""

    counters: list[CoOccurrence] = field(default_factory=list)
    num_clusters: int = 0
    images: int = 0


@MODELS.register_module()
class CommunityDetection(FittedPostprocessor):
    """Merges clusters (parts) into communities (objects) by how often they touch.

    Source: docs/methods/leopart.md §10 steps 5 to 7.

    `fit` reads the maps once and keeps a K x K matrix, whatever the number of images. Infomap then runs with every
    seed: M maps before become M * seeds, those of the first map first. Label 0 is background: clusters without an edge
    (the background is usually among them, since it touches everything a little); communities count from 1.

    Args:
        weight_threshold: Two clusters are joined where both directed co-occurrences reach this value, > 0.
        markov_time: Markov time of Infomap: above 1 fewer and larger communities.
        preferred_modules: Number of communities that Infomap prefers; None leaves it free. There may be fewer or more.
        seeds: Infomap seeds, or their number.
        num_trials: Infomap runs per seed, of which the shortest code is kept.
        distances: Distances of neighbours, in pixels of a map of `map_size`.
        angles: Directions of neighbours, in radians; the default is the published one (sixth: 4/3 pi).
        map_size: Label maps are resized to this size (nearest) before neighbours are counted; None: the patch grid.
        unconnected: What becomes of clusters without an edge: 'background' (published), or 'nearest': the community of
            the connected cluster that they lie beside most.
        background_cluster: Label of the maps before that is background already: it stays background and joins nothing;
            'last' is the last label, such as K of ForegroundClustering. None: it is a cluster like all others, as
            published, and background only if no edge reaches it.

    Attributes:
        communities: Fitted: (S, K) int64.
        matrix: Fitted: (M, K, K) directed co-occurrence, 0 with `background_cluster`.
        frequencies: Fitted: (M, K) int64, in pixels.

    Raises:
        ValueError: If a setting is unknown or out of range.
    """

    STATE = ('communities', 'matrix', 'frequencies')
    name = 'communities'
    title = 'communities'
    background = 0
    pointwise = True

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
                 background_cluster: int | str | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.seeds = seed_tuple(seeds)
        if not self.seeds or not weight_threshold > 0 or not distances or not angles:
            raise ValueError(f'CommunityDetection: seeds={seeds!r}, distances={distances!r} and angles must not be '
                             f'empty, and weight_threshold={weight_threshold} must be positive.')
        if unconnected not in UNCONNECTED:
            raise ValueError(f'CommunityDetection: unconnected={unconnected!r} is unknown; known are: '
                             f'{", ".join(UNCONNECTED)}.')
        self.weight_threshold = weight_threshold
        self.options = dict(markov_time=markov_time, preferred_modules=preferred_modules, num_trials=num_trials)
        self.distances = tuple(distances)
        self.angles = tuple(angles)
        self.map_size = None if map_size is None else tuple(map_size)
        self.unconnected = unconnected
        self.background_cluster = background_cluster

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
            matrix=self.matrix[0].cpu().double().numpy(), communities=self.communities[0].cpu().numpy(),
            frequencies=self.frequencies[0].cpu().numpy(),
            threshold=self.weight_threshold - 1e-7)  # `matrix` is kept in float32

    def settings(self) -> dict[str, Any]:
        """The seeds."""
        return dict(seeds=list(self.seeds))

    @torch.no_grad()
    def fit(self, stream: Iterable[FeatureBatch]) -> None:
        """Count neighbours in the maps of all processes and find communities.

        Raises:
            ImportError: If Infomap is missing.
            ValueError: If no edge reaches `weight_threshold`, so that everything would be background.
        """
        require_infomap()
        parts = gather_parts(lambda: self._read(stream))
        self.keep(*broadcast_result(lambda: self._solve(parts)))

    def _counter(self, num_clusters: int) -> CoOccurrence:
        return CoOccurrence(num_clusters, self.distances, self.angles, self.map_size)

    def _read(self, stream: Iterable[FeatureBatch]) -> _Part:
        part = _Part()
        for batch in stream:
            prediction, labels = batch.prediction, batch.prediction.hard_labels
            if not part.counters:
                part.num_clusters = prediction.num_labels
                part.counters = [self._counter(part.num_clusters) for _ in labels]
            for members, (rows, columns, extent) in prediction.content_groups():
                index = image_index(members, labels.device)
                for counter, maps in zip(part.counters, labels, strict=True):
                    counter.update(maps[index, rows, columns], extent)
            part.images += len(batch)
        for counter in part.counters:
            counter.collect()
        return part

    def _solve(self, parts: Sequence[_Part]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        filled = [part for part in parts if part.counters]
        if not filled:
            raise ValueError('CommunityDetection saw no image: the data set for fitting is empty.')
        num_clusters = filled[0].num_clusters
        images = sum(part.images for part in parts)
        labels, matrices, frequencies, networks = [], [], [], []
        for counters in zip(*(part.counters for part in filled), strict=True):
            counter = self._counter(num_clusters)
            for other in counters:
                counter.merge(other.state())
            matrix = self._without_background(counter.matrix)
            edges = cooccurrence_edges(matrix, self.weight_threshold)
            if not len(edges):
                largest = np.minimum(matrix, matrix.T).max(initial=0)
                raise ValueError(f'CommunityDetection: no two of {int((counter.pixels > 0).sum())} clusters touch '
                                 f'often enough: the largest weight is {largest:.4f}, the threshold '
                                 f'{self.weight_threshold}. Lower weight_threshold (tools/search_communities.py finds '
                                 'one), or check that the maps before hold more than one cluster.')
            found = all_seeds(edges, matrix, self.seeds, self.unconnected, **self.options)
            if self.background_cluster is not None:
                for communities in found:
                    communities.labels[self._background(num_clusters)] = 0
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

    def _background(self, num_clusters: int) -> int:
        number = num_clusters - 1 if self.background_cluster == 'last' else self.background_cluster
        if not isinstance(number, int) or not 0 <= number < num_clusters:
            raise ValueError(f'CommunityDetection: background_cluster={self.background_cluster!r} does not exist: the '
                             f"maps before hold the clusters 0 to {num_clusters - 1}, or 'last'.")
        return number

    def _without_background(self, matrix: np.ndarray) -> np.ndarray:
        if self.background_cluster is None:
            return matrix
        others = np.arange(len(matrix)) != self._background(len(matrix))
        return np.where(others[:, None] & others, matrix, 0)

    @torch.no_grad()
    def forward(self, prediction: Prediction, batch: FeatureBatch) -> Prediction:
        """Cluster ids (M, B, h, w) to communities (M * seeds, B, h, w) int64, 0 for background.

        Raises:
            NotFittedError: If nothing was fitted or loaded.
            ValueError: If it was fitted on another number of label maps.
        """
        self.require_fitted()
        labels, number = prediction.hard_labels, len(self.seeds)
        if len(labels) * number != len(self.communities):
            raise ValueError(f'CommunityDetection was fitted on {len(self.communities) // number} label maps per '
                             f'image, but the stage before gives {len(labels)}: fit again.')
        merged = torch.stack([mapping[labels[index // number]] for index, mapping in enumerate(self.communities)])
        return prediction.with_labels(merged, self.num_labels)

    def as_tensors(self) -> TensorStage:
        """The community of every cluster."""
        return LookUpLabels(self.communities[0])


def _report(network: dict[str, Any], num_clusters: int) -> None:
    print_log(f'Communities: {network["edges"]} edges between {network["connected"]} of {network["present"]} clusters '
              f'that occur (of {num_clusters}); modules by seed: {", ".join(map(str, network["modules"]))}',
              logger='current')
    if max(network['modules']) == 1:
        print_log('All connected clusters are one community: the label maps hold background and one label only. Raise '
                  'weight_threshold or lower markov_time.', logger='current', level=30)
