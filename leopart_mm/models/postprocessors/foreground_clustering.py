"""ForegroundClustering: k-means on the features of the foreground alone."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from leopart_mm.clustering.kmeans import assign, check_points, kmeans
from leopart_mm.clustering.token_sample import TokenSample
from leopart_mm.geometry.patch_grid import cell_indices
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.processes import broadcast_result, gather_parts
from leopart_mm.models.postprocessors.fitted import FittedPostprocessor
from leopart_mm.registry import MODELS

MIN_SAMPLE = 2**16


@MODELS.register_module()
class ForegroundClustering(FittedPostprocessor):
    """Clusters the head's reduced features again where the stage before says foreground.

    Source: docs/methods/leopart.md §10 step 4.

    Foreground masks (labels other than 0) in, cluster ids 0..K-1 there and K in the background out. Every map before is
    clustered with every seed: S maps become S * seeds, those of the first map first. One pass; memory is that of the
    sample.

    Args:
        num_clusters: K. The "+CBFE" score of the paper has 20, community detection starts from 149 (S/16).
        seeds: k-means seeds or their number.
        niter, nredo, max_points_per_centroid, spherical: As in OverclusterHead.
        num_samples: Feature vectors kept for k-means; None: `max_points_per_centroid` * K, at least 65536.
        sample_seed: Chooses which.
        map_size: Features are resized to this size (nearest, as published) before they are sampled; None samples the
            patch grid. Labels are the same on either: a pixel has the features of its cell.

    Attributes: `centroids` (S, K, D).
    """

    STATE = ('centroids', )
    needs_reduced = True

    def __init__(self,
                 num_clusters: int,
                 seeds: int | Sequence[int] = 1,
                 niter: int = 100,
                 nredo: int = 5,
                 max_points_per_centroid: int = 256,
                 spherical: bool = False,
                 num_samples: int | None = None,
                 sample_seed: int = 0,
                 map_size: tuple[int, int] | None = (100, 100),
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.seeds = tuple(range(seeds)) if isinstance(seeds, int) else tuple(int(seed) for seed in seeds)
        if num_clusters < 1 or not self.seeds:
            raise ValueError(f'ForegroundClustering: num_clusters={num_clusters} and seeds={seeds!r} must both be at '
                             'least 1.')
        self.num_clusters = num_clusters
        self.niter = niter
        self.nredo = nredo
        self.max_points_per_centroid = max_points_per_centroid
        self.spherical = spherical
        self.num_samples = num_samples or max(max_points_per_centroid * num_clusters, MIN_SAMPLE)
        self.sample_seed = sample_seed
        self.map_size = None if map_size is None else tuple(map_size)

    @property
    def num_labels(self) -> int:
        """K and the background."""
        return self.num_clusters + 1

    def settings(self) -> dict[str, Any]:
        """K and the seeds."""
        return dict(num_clusters=self.num_clusters, seeds=list(self.seeds))

    @torch.no_grad()
    def fit(self, stream: Iterable[FeatureBatch]) -> None:
        """k-means on a random sample of the foreground of all processes.

        Raises:
            ValueError: No foreground at all, or fewer foreground vectors than clusters.
        """
        device = self.fitted.device
        parts = gather_parts(lambda: self._read(stream))
        centroids, info = broadcast_result(lambda: self._solve(parts, device))
        self.keep(dict(centroids=centroids), info)

    def _read(self, stream: Iterable[FeatureBatch]) -> dict[str, Any]:
        samples: list[TokenSample] = []
        seen: list[int] = []
        images = 0
        for batch in stream:
            samples = samples or [TokenSample(self.num_samples, self.sample_seed) for _ in batch.labels]
            seen = seen or [0] * len(samples)
            features = batch.features.reduced
            for index, key in enumerate(batch.keys):
                rows, columns, extent = batch.content(index, tuple(features.shape[-2:]))
                vectors = features[index, :, rows, columns].flatten(1).T
                cells = torch.arange(len(vectors), device=vectors.device)
                if self.map_size is not None:
                    grid = rows.stop - rows.start, columns.stop - columns.start
                    cells = cell_indices(grid, self.map_size, extent, 'corner').flatten().to(vectors.device)
                for stage, sample in enumerate(samples):
                    inside = batch.labels[stage, index, rows, columns].flatten() != 0
                    chosen = cells[inside[cells]]
                    sample.update_chosen(key, vectors, chosen)
                    seen[stage] += len(chosen)
            images += len(batch)
        return dict(samples=[sample.state() for sample in samples], seen=seen, images=images)

    def _solve(self, parts: Sequence[dict[str, Any]], device: torch.device) -> tuple[Tensor, dict[str, Any]]:
        images = sum(part['images'] for part in parts)
        filled = [part for part in parts if part['samples']]
        if not filled:
            raise ValueError('ForegroundClustering saw no image: the data set for fitting is empty.')
        centroids, seen = [], []
        for stage in range(len(filled[0]['samples'])):
            sample = TokenSample.merged([part['samples'][stage] for part in filled], self.num_samples, self.sample_seed)
            seen.append(sum(part['seen'][stage] for part in filled))
            points = sample.vectors.to(device)
            if not len(points):
                raise ValueError(f'ForegroundClustering: none of the {images} images has any foreground. Check the '
                                 'stage before (CBFE: its threshold and its masks).')
            check_points(points, self.num_clusters)
            for seed in self.seeds:
                print_log(f'Foreground k-means: {self.num_clusters} clusters of {len(points)} of {seen[-1]} points, '
                          f'seed {seed}', logger='current')
                centroids.append(kmeans(points, self.num_clusters, seed, self.niter, self.nredo,
                                        self.max_points_per_centroid, self.spherical).cpu())
        return torch.stack(centroids), dict(images=images, foreground_points=seen)

    @torch.no_grad()
    def forward(self, labels: Tensor, features: DenseFeatures, data_samples: Sequence[Any] | None) -> Tensor:
        """Masks (M, B, h, w) to cluster ids (M * seeds, B, h, w) int64, K in the background.

        Raises:
            NotFittedError: Nothing was fitted or loaded.
            ValueError: The maps have another size than the reduced features, or another number than fitted on.
        """
        self.require_fitted()
        reduced, number = features.reduced, len(self.seeds)
        if reduced.shape[-2:] != labels.shape[-2:]:
            raise ValueError(f'ForegroundClustering: masks of {tuple(labels.shape[-2:])} cells do not fit features of '
                             f'{tuple(reduced.shape[-2:])}; it follows CBFE.')
        if len(labels) * number != len(self.centroids):
            raise ValueError(f'ForegroundClustering was fitted on {len(self.centroids) // number} masks an image, but '
                             f'the stage before gives {len(labels)}: fit again.')
        batch, _, height, width = reduced.shape
        result = torch.full((len(self.centroids), batch, height, width), self.num_clusters, device=labels.device)
        vectors = reduced.permute(0, 2, 3, 1)
        for index, mask in enumerate(labels != 0):
            if mask.any():
                own = slice(index * number, (index + 1) * number)
                result[own][:, mask] = assign(vectors[mask], self.centroids[own], self.spherical)
        return result
