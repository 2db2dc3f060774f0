"""k-means as heads, stages and searches fit it: settings, the sample that it runs on, a clustering per seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmengine.logging import print_log
from torch import Tensor

from leopart_mm.clustering.kmeans import MAX_POINTS_PER_CENTROID, kmeans, sample_size
from leopart_mm.clustering.token_sample import TokenSample


def seed_tuple(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Seeds from their number or from a list of them.

    >>> seed_tuple(3), seed_tuple([7, 1])
    ((0, 1, 2), (7, 1))
    """
    return tuple(range(seeds)) if isinstance(seeds, int) else tuple(int(seed) for seed in seeds)


@dataclass
class KMeansSettings:
    """How vectors are sampled and clustered.

    Args:
        num_clusters: Number of clusters K.
        seeds: k-means seeds, or their number (5 means 0..4). Every seed gives a clustering.
        niter: Lloyd steps per run of k-means.
        nredo: Runs per seed, of which the best is kept.
        screen: Number of steps after which only the best run continues. None runs all to the end, as published. See
            `kmeans` for what screening saves and costs.
        max_points_per_centroid: k-means sees at most this many times K vectors.
        spherical: Cluster by inner product with unit centroids.
        num_samples: Number of vectors kept, from which each seed draws its own; 4 * channels bytes each. None keeps
            twice as many as a seed draws, 2 * `max_points_per_centroid` * K, and at least 65536: 393 MB for K = 500 and
            384 channels. `leopart_mm.clustering.kmeans.sample_size` says why.
        sample_seed: Seed of the choice of these vectors.

    Raises:
        ValueError: If there is no cluster or no seed.
    """

    num_clusters: int
    seeds: int | Sequence[int] = 1
    niter: int = 100
    nredo: int = 5
    screen: int | None = None
    max_points_per_centroid: int = MAX_POINTS_PER_CENTROID
    spherical: bool = False
    num_samples: int | None = None
    sample_seed: int = 0

    def __post_init__(self) -> None:
        seeds, self.seeds = self.seeds, seed_tuple(self.seeds)
        if self.num_clusters < 1 or not self.seeds:
            raise ValueError(f'num_clusters={self.num_clusters} and seeds={seeds!r} must both be at least 1.')

    @property
    def sample_size(self) -> int:
        """Number of vectors that are kept for k-means."""
        return self.num_samples or sample_size(self.num_clusters, self.max_points_per_centroid)

    def new_sample(self) -> TokenSample:
        """An empty sample."""
        return TokenSample(self.sample_size, self.sample_seed)

    def merge_samples(self, states: Sequence[tuple]) -> Tensor:
        """(n, D) float32: the sample of what several processes sampled, from the `TokenSample.state` of each."""
        return TokenSample.merged(states, self.sample_size, self.sample_seed).vectors


def fit_kmeans(points: Tensor, settings: KMeansSettings, title: str = 'k-means') -> Tensor:
    """Cluster a sample with every seed.

    Args:
        points: (n, D), on the device that computes.
        settings: Settings of k-means.
        title: Beginning of the lines in the log.

    Returns:
        (S, K, D) float32 on the CPU.

    Raises:
        ValueError: If `kmeans` raises it.
    """
    centroids = []
    for number, seed in enumerate(settings.seeds, 1):
        print_log(f'{title} {number}/{len(settings.seeds)}: {settings.num_clusters} clusters of {len(points)} points '
                  f'in {points.shape[-1]} dimensions, {settings.nredo} runs of {settings.niter} steps, seed {seed}',
                  logger='current')
        centroids.append(kmeans(points, settings.num_clusters, seed, settings.niter, settings.nredo,
                                settings.max_points_per_centroid, settings.spherical, settings.screen).cpu())
    return torch.stack(centroids)
