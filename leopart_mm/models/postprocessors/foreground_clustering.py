"""ForegroundClustering: k-means on the features of the foreground alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from leopart_mm.clustering.kmeans import assign
from leopart_mm.clustering.kmeans_fit import KMeansSettings, fit_kmeans
from leopart_mm.devices import move
from leopart_mm.geometry.patch_grid import cell_indices
from leopart_mm.models.fitting.base import FittedPostprocessor
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.models.fitting.processes import broadcast_result, gather_parts
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.models.fitting.tensor_stages import ClusterForeground, TensorStage
from leopart_mm.registry import MODELS


@dataclass
class _Part:
    """What a process has sampled.

    Args:
        samples: Per mask of the stage before, the state of a TokenSample.
        seen: Per mask, the number of vectors that were offered; (M,) int64.
        images: Number of images.
    """

    samples: list[tuple] = field(default_factory=list)
    seen: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    images: int = 0


@MODELS.register_module()
class ForegroundClustering(FittedPostprocessor):
    """Clusters the head's reduced features again where the stage before says foreground.

    Source: docs/methods/leopart.md §10 step 4.

    Foreground masks (labels other than 0) in, cluster ids 0..K-1 there and K in the background out. Every mask is
    clustered with every seed: M masks become M * seeds maps, those of the first mask first. One pass; memory is that of
    the sample.

    Args:
        num_clusters: Number of clusters K. The "+CBFE" score of the paper has 20, community detection starts from 149
            (S/16).
        seeds: k-means seeds, or their number.
        map_size: Features are resized to this size (nearest, as published) before they are sampled; None samples the
            patch grid. Labels are the same on either: a pixel has the features of its cell.
        kmeans: Further arguments of KMeansSettings: `niter`, `nredo`, `screen`, `spherical`,
            `max_points_per_centroid`, `num_samples`, `sample_seed`.

    Attributes:
        centroids: Fitted: (M * seeds, K, D).

    Raises:
        ValueError: If a setting is out of range.
    """

    STATE = ('centroids', )
    name = 'clusters'
    title = 'foreground clusters'
    pointwise = True

    def __init__(self,
                 num_clusters: int,
                 seeds: int | Sequence[int] = 1,
                 map_size: tuple[int, int] | None = (100, 100),
                 init_cfg: dict | list | None = None,
                 **kmeans: Any) -> None:
        super().__init__(init_cfg)
        self.kmeans = KMeansSettings(num_clusters, seeds, **kmeans)
        self.seeds = self.kmeans.seeds
        self.num_clusters = self.background = num_clusters
        self.map_size = None if map_size is None else tuple(map_size)

    @property
    def num_labels(self) -> int:
        """K and the background."""
        return self.num_clusters + 1

    def settings(self) -> dict[str, Any]:
        """K and the seeds."""
        return dict(num_clusters=self.num_clusters, seeds=list(self.seeds))

    def requests(self, fitting: bool = False, pictures: bool = False) -> Requests:
        """Reduced features, always."""
        return Requests(reduced=True)

    @torch.no_grad()
    def fit(self, stream: Iterable[FeatureBatch]) -> None:
        """k-means on a random sample of the foreground of all processes.

        Raises:
            ValueError: If there is no foreground, or fewer foreground vectors than clusters.
        """
        device = self.fitted.device
        parts = gather_parts(lambda: self._read(stream))
        self.keep(*broadcast_result(lambda: self._solve(parts, device)))

    def _read(self, stream: Iterable[FeatureBatch]) -> _Part:
        part, samples = _Part(), []
        for batch in stream:
            labels, features = batch.prediction.hard_labels, batch.features.reduced
            if not samples:
                samples = [self.kmeans.new_sample() for _ in labels]
                part.seen = torch.zeros(len(labels), dtype=torch.int64, device=labels.device)
            for index, key in enumerate(batch.keys):
                rows, columns, extent = batch.prediction.content(index)
                vectors = features[index, :, rows, columns].flatten(1).T
                cells = torch.arange(len(vectors), device=vectors.device)
                if self.map_size is not None:
                    grid = rows.stop - rows.start, columns.stop - columns.start
                    cells = move(cell_indices(grid, self.map_size, extent, 'corner').flatten(), vectors.device)
                for variant, sample in enumerate(samples):
                    inside = (labels[variant, index, rows, columns].flatten() != 0)[cells]
                    sample.update_masked(key, vectors, cells, inside)
                    part.seen[variant] += inside.sum()
            part.images += len(batch)
        part.samples = [sample.state() for sample in samples]
        return part

    def _solve(self, parts: Sequence[_Part], device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]]:
        images = sum(part.images for part in parts)
        filled = [part for part in parts if part.samples]
        if not filled:
            raise ValueError('ForegroundClustering saw no image: the data set for fitting is empty.')
        seen = torch.stack([part.seen.cpu() for part in filled]).sum(0).tolist()
        centroids = []
        for variant, offered in enumerate(seen):
            if not offered:
                raise ValueError(f'ForegroundClustering: none of the {images} images has any foreground. Check the '
                                 'stage before (CBFE: its threshold and its masks).')
            points = self.kmeans.merge_samples([part.samples[variant] for part in filled]).to(device)
            centroids.append(fit_kmeans(points, self.kmeans, f'Foreground k-means (of {offered} points)'))
        return dict(centroids=torch.cat(centroids)), dict(images=images, foreground_points=seen)

    @torch.no_grad()
    def forward(self, prediction: Prediction, batch: FeatureBatch) -> Prediction:
        """Masks (M, B, h, w) to cluster ids (M * seeds, B, h, w) int64, K in the background.

        Raises:
            NotFittedError: If nothing was fitted or loaded.
            ValueError: If the masks have another size than the reduced features, or another number than fitted on.
        """
        self.require_fitted()
        labels, reduced, number = prediction.hard_labels, batch.features.reduced, len(self.seeds)
        if reduced.shape[-2:] != labels.shape[-2:]:
            raise ValueError(f'ForegroundClustering: masks of {tuple(labels.shape[-2:])} cells do not fit features of '
                             f'{tuple(reduced.shape[-2:])}; it follows CBFE.')
        if len(labels) * number != len(self.centroids):
            raise ValueError(f'ForegroundClustering was fitted on {len(self.centroids) // number} masks per image, but '
                             f'the stage before gives {len(labels)}: fit again.')
        count, _, height, width = reduced.shape
        result = torch.full((len(self.centroids), count, height, width), self.num_clusters, device=labels.device)
        vectors = reduced.permute(0, 2, 3, 1)
        for index, mask in enumerate(labels != 0):
            variants = slice(index * number, (index + 1) * number)
            centroids = self.centroids[variants]
            if mask.device.type != 'cpu':  # to find the foreground would stall a GPU for longer than all cells take
                found = assign(vectors.flatten(0, 2), centroids, self.kmeans.spherical)
                result[variants] = torch.where(mask, found.view(-1, *mask.shape), self.num_clusters)
            elif mask.any():
                result[variants][:, mask] = assign(vectors[mask], centroids, self.kmeans.spherical)
        return prediction.with_labels(result, self.num_labels)

    def as_tensors(self) -> TensorStage:
        """Clusters of the first mask and seed."""
        return ClusterForeground(self.centroids[0], self.kmeans.spherical)
