"""Seeded k-means: faiss on the CPU, torch on a GPU."""

import numpy as np
import torch
from torch import Tensor

CHUNK = 2**21  # entries of a distance matrix at a time: near a CPU's cache
GPU_CHUNK = 2**26


def kmeans(points: Tensor,
           k: int,
           seed: int = 0,
           iterations: int = 100,
           redo: int = 5,
           max_points_per_centroid: int = 256,
           spherical: bool = False,
           screen: int | None = None) -> Tensor:
    """Centroids of the best of `redo` runs, with faiss's semantics on either device.

    Args:
        points: (n, D). On a GPU the torch implementation runs, else faiss.
        k: Number of clusters.
        seed: The same seed gives the same centroids on the same machine.
        iterations: Lloyd steps of each run.
        redo: Runs from other starts; the one of smallest objective wins.
        max_points_per_centroid: Trains on a random subset of this many times k points if there are more (256 is
            faiss's default, hence what was published).
        spherical: Clusters by inner product with unit centroids.
        screen: After so many steps only the best run goes on; None takes all to the end (as published). What a run
            reaches in 5 or 10 steps tells well what it will reach in 100, so this saves most of the time.

    Returns:
        (k, D) float32 on the device of `points`. If fewer than k points are distinct, some centroids nearly coincide.

    Raises:
        ValueError: Fewer points than clusters, a point that is not finite, or a setting below 1.
    """
    check_points(points, k)
    for name, value in (('iterations', iterations), ('redo', redo), ('max_points_per_centroid',
                                                                     max_points_per_centroid), ('screen', screen or 1)):
        if value < 1:
            raise ValueError(f'k-means: {name} must be at least 1, not {value}.')
    points = points.detach().float()
    run = _kmeans_faiss if points.device.type == 'cpu' else kmeans_torch
    if screen is None or redo == 1 or screen >= iterations:
        return run(points, k, seed, iterations, redo, max_points_per_centroid, spherical)
    start = run(points, k, seed, screen, redo, max_points_per_centroid, spherical)
    return run(points, k, seed, iterations - screen, 1, max_points_per_centroid, spherical, start)


def check_points(points: Tensor, k: int) -> None:
    """Raise ValueError if `points` (n, D) cannot be clustered into `k`."""
    if points.ndim != 2:
        raise ValueError(f'k-means takes points of shape (n, D), not {tuple(points.shape)}.')
    if k < 1:
        raise ValueError(f'k-means: the number of clusters must be at least 1, not {k}.')
    if k > len(points):
        raise ValueError(f'k-means cannot make {k} clusters of {len(points)} points: lower num_clusters, or fit on '
                         'more images or at a higher resolution.')
    if not torch.isfinite(points).all():
        bad = int((~torch.isfinite(points).all(dim=1)).sum())
        raise ValueError(f'{bad} of {len(points)} points hold NaN or infinity: check the features.')


def assign(points: Tensor, centroids: Tensor, spherical: bool = False) -> Tensor:
    """Nearest centroid of every point, or with `spherical` the one of largest inner product.

    Args:
        points: (n, D).
        centroids: (..., K, D), of one or several clusterings.

    Returns:
        (..., n) int64; ties go to the lowest id.
    """
    centroids = centroids.to(points)
    flat = centroids.reshape(-1, *centroids.shape[-2:])
    half_norm = 0 if spherical else flat.square().sum(-1) / 2
    result = torch.empty(len(flat), len(points), dtype=torch.long, device=points.device)
    step = max(1, (CHUNK if points.device.type == 'cpu' else GPU_CHUNK) // max(1, flat.shape[1]))
    for index, single in enumerate(flat):
        for start in range(0, len(points), step):
            score = points[start:start + step] @ single.T
            if not spherical:
                score -= half_norm[index]
            result[index, start:start + step] = score.argmax(dim=1)
    return result.reshape(*centroids.shape[:-2], len(points))


def inertia(points: Tensor, centroids: Tensor) -> float:
    """Sum of squared distances of points (n, D) to their nearest of the centroids (K, D)."""
    nearest = centroids.to(points)[assign(points, centroids)]
    return float((points.double() - nearest.double()).square().sum())


def _kmeans_faiss(points: Tensor, k: int, seed: int, iterations: int, redo: int, max_points_per_centroid: int,
                  spherical: bool, start: Tensor | None = None) -> Tensor:
    import faiss
    model = faiss.Kmeans(
        points.shape[1],
        k,
        niter=iterations,
        nredo=redo,
        seed=seed,
        spherical=spherical,
        max_points_per_centroid=max_points_per_centroid,
        min_points_per_centroid=1)  # no warning: the caller knows how many points there are
    # The same seed chooses the same subset, so a run goes on with the points it began with.
    model.train(np.ascontiguousarray(points.numpy()), init_centroids=None if start is None else start.numpy())
    return torch.from_numpy(model.centroids.copy())


def kmeans_torch(points: Tensor, k: int, seed: int, iterations: int, redo: int, max_points_per_centroid: int,
                 spherical: bool, start: Tensor | None = None) -> Tensor:
    """`kmeans` in torch, for any device; its runs stop early where an assignment repeats (the result is the same).

    With `start` (k, D) the first run begins there.
    """
    generator = torch.Generator().manual_seed(seed)
    if len(points) > k * max_points_per_centroid:
        chosen = torch.randperm(len(points), generator=generator)[:k * max_points_per_centroid]
        points = points[chosen.to(points.device)]
    best, best_objective = None, float('inf')
    for run in range(redo):
        chosen = torch.randperm(len(points), generator=generator)[:k].to(points.device)
        begin = start if start is not None and run == 0 else points[chosen]
        centroids, objective = _lloyd(points, begin, iterations, spherical)
        if best is None or objective < best_objective:
            best, best_objective = centroids, objective
    return best


def _lloyd(points: Tensor, centroids: Tensor, iterations: int, spherical: bool) -> tuple[Tensor, float]:
    """One run; returns the centroids and the objective before their last update, as faiss counts it."""
    previous = None
    objective = float('inf')
    centroids = _unit(centroids) if spherical else centroids
    for _ in range(iterations):
        labels = assign(points, centroids, spherical)
        if previous is not None and torch.equal(labels, previous):
            break
        nearest = centroids[labels]
        objective = float(-(points * nearest).sum() if spherical else (points - nearest).square().sum())
        centroids = _means(points, labels, centroids)
        centroids = _unit(centroids) if spherical else centroids
        previous = labels
    return centroids, objective


def _means(points: Tensor, labels: Tensor, centroids: Tensor) -> Tensor:
    """Mean of each cluster's points; an empty cluster moves beside the largest one, to take half of it."""
    sizes = torch.bincount(labels, minlength=len(centroids))
    sums = torch.zeros_like(centroids).index_add_(0, labels, points)
    means = sums / sizes.clamp(min=1)[:, None].to(sums)
    sizes = sizes.tolist()
    for empty in (index for index, size in enumerate(sizes) if size == 0):
        largest = max(range(len(sizes)), key=sizes.__getitem__)
        sign = torch.ones(means.shape[1], device=means.device)
        sign[1::2] = -1
        means[empty] = means[largest] * (1 + sign / 1024)
        sizes[empty] = sizes[largest] // 2
        sizes[largest] -= sizes[empty]
    return means


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)
