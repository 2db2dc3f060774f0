"""Exact Lloyd steps of k-means that skip points whose nearest centroid cannot have changed.

Source: Ding et al., "Yinyang K-Means: A Drop-In Replacement of the Classic K-Means with Consistent Speedup", ICML 2015
(its bounds per point and group of centroids).
"""

import torch
from torch import Tensor

from leopart_mm.devices import in_float64

BLOCK = 2**19  # scores computed at a time: 2 MB, which the cache of a core holds
GROUP = 16  # centroids that share a bound
MAX_GROUPS = 64  # bounds kept per point
MOST = 0.4  # share of the points from which to compare all of them is faster
SAMPLED = 16  # one of so many unsure points tells how many there will be
ROUNDING = 1e-5  # error allowed for in a squared distance, relative to the squared lengths it is computed from


class LloydRun:
    """What a run of k-means knows at its start and after each step; `Lloyd` and `DenseLloyd` say how it takes them."""

    def __init__(self, points: Tensor, centroids: Tensor, spherical: bool = False) -> None:
        self.points = points
        self.spherical = spherical
        self.centroids = unit(centroids) if spherical else centroids
        self.labels = torch.zeros(len(points), dtype=torch.long, device=points.device)
        self.converged = False
        self._assigned_to = self.centroids
        self._steps = 0

    def objective(self) -> float:
        """What k-means minimises, at the last assignment and before the centroids moved, as faiss counts it.

        The sum of squared distances, or with `spherical` the negative sum of inner products.
        """
        return objective(self.points, self._assigned_to, self.labels, self.spherical)


class Lloyd(LloydRun):
    """A run of k-means that can be continued step by step.

    A step gives each point its nearest centroid and moves each centroid to the mean of its points. The result is that
    of comparing all points with all centroids, apart from points that are as near to two centroids as float32 can tell.

    A centroid comes nearer to a point by at most the length it moves. So every point keeps an upper bound of the
    distance to its centroid and, per group of centroids, a lower bound of the distance to all others. Only points whose
    bounds overlap are compared, with all centroids.

    Args:
        points: (n, D) float32.
        centroids: (K, D), where the run starts.
        spherical: Cluster by inner product with centroids of unit length.

    Attributes:
        centroids: (K, D) after the last step.
        labels: (n,) int64 of the last step.
        converged: Whether the last step changed no label. Further steps would change nothing.
    """

    def __init__(self, points: Tensor, centroids: Tensor, spherical: bool = False) -> None:
        super().__init__(points, centroids, spherical)
        self._square = points.square().sum(1)
        self._size = max(GROUP, -(-len(centroids) // MAX_GROUPS))
        self._groups = -(-len(centroids) // self._size)
        self._upper = torch.full_like(self._square, torch.inf)
        self._lower = points.new_full((self._groups, len(points)), -torch.inf)
        self._buffer = points.new_empty(self._groups * self._size * _block(len(centroids)))

    def run(self, iterations: int) -> 'Lloyd':
        """Take `iterations` steps, or fewer where further ones would change nothing."""
        for _ in range(iterations):
            if self.converged:
                break
            changed = self._assign()
            self.converged = self._steps > 0 and changed == 0
            self._steps += 1
            if not self.converged:
                self._move()
        return self

    def _assign(self) -> int:
        """Update the labels; returns how many changed."""
        half = half_squares(self.centroids, self.spherical)
        slack = ROUNDING * (self._square + 2 * half.max())
        rows, block = self._unsure(half, slack), _block(len(half))
        self._assigned_to = self.centroids
        if rows is None:  # slices need no copies
            parts = [slice(start, start + block) for start in range(0, len(self.points), block)]
        else:
            parts = rows.split(block)
        return sum(self._compare(part, half, slack) for part in parts)

    def _unsure(self, half: Tensor, slack: Tensor) -> Tensor | None:
        """Points whose bounds overlap. None: so many that to compare all costs less than to find out which."""
        nearest_other = self._lower.amin(0)
        rows = (self._upper > nearest_other).nonzero().squeeze(1)
        for part in (rows[::SAMPLED], rows):
            # The distance itself is a sharper bound than what it was plus the movement.
            current = self.labels[part]
            score = (self.points[part] * self.centroids[current]).sum(1) - half[current]
            upper = self._upper_bound(score, part, slack)
            left = part[upper > nearest_other[part]]
            if len(left) * len(rows) > MOST * len(part) * len(self.points):
                return None
        self._upper[rows] = upper
        return left

    def _upper_bound(self, score: Tensor, rows: Tensor | slice, slack: Tensor) -> Tensor:
        """Upper bound of the distances of points with a score x.c - |c|^2 / 2."""
        return (self._square[rows] + slack[rows] - 2 * score).clamp_(min=0).sqrt_()

    def _compare(self, rows: Tensor | slice, half: Tensor, slack: Tensor) -> int:
        """Compare points with all centroids: their labels and bounds; returns how many labels changed."""
        points, current = self.points[rows], self.labels[rows]
        scores = _grouped_scores(points, self.centroids, half, self._size, self._buffer)
        flat = scores.flatten(0, 1)
        columns = torch.arange(len(points), device=points.device)
        current_score = flat[current, columns]
        flat[current, columns] = -torch.inf
        best = scores.amax(1)  # of all but the own centroid, per group
        changed = (best.amax(0) > current_score).nonzero().squeeze(1)
        if len(changed):
            old = current[changed]
            group, new = _largest(scores, best, changed)
            flat[old, changed] = current_score[changed]
            current_score[changed] = flat[new, changed]
            flat[new, changed] = -torch.inf
            for touched in (old // self._size, group):
                best[touched, changed] = scores[touched, :, changed].amax(1)
            self.labels[rows.start + changed if isinstance(rows, slice) else rows[changed]] = new
        self._upper[rows] = self._upper_bound(current_score, rows, slack)
        self._lower[:, rows] = torch.sub(self._square[rows] - slack[rows], best, alpha=2,
                                         out=best).clamp_(min=0).sqrt_()
        return len(changed)

    def _move(self) -> None:
        """Move the centroids to the means of their points, and the bounds with them."""
        self.centroids = _means(self.points, self.labels, self._assigned_to)
        if self.spherical:
            self.centroids = unit(self.centroids)
        moved = (self.centroids - self._assigned_to).norm(dim=1) * (1 + ROUNDING)
        self._upper += moved[self.labels]
        for group, lower in zip(moved.split(self._size), self._lower, strict=True):
            lower -= group.max()


def nearest(points: Tensor, centroids: Tensor, spherical: bool = False) -> Tensor:
    """Nearest of the centroids (K, D) for points (n, D), or with `spherical` the one of largest inner product.

    Returns:
        (n,) int64; of equally near centroids the lowest id.
    """
    half = half_squares(centroids, spherical)
    parts = points.split(_block(len(centroids)))
    result = torch.empty(len(points), dtype=torch.long, device=points.device)
    buffer = points.new_empty(-(-len(centroids) // GROUP) * GROUP * _block(len(centroids)))
    start = 0
    for part in parts:
        scores = _grouped_scores(part, centroids, half, GROUP, buffer)
        columns = torch.arange(len(part), device=points.device)
        result[start:start + len(part)] = _largest(scores, scores.amax(1), columns)[1]
        start += len(part)
    return result


def objective(points: Tensor, centroids: Tensor, labels: Tensor, spherical: bool = False) -> float:
    """Sum of squared distances of points (n, D) to their centroids, or the negative sum of inner products."""
    total = in_float64(points.new_zeros(()))
    for part, chosen in zip(points.split(2**14), labels.split(2**14), strict=True):
        nearest = centroids[chosen]
        total += (-(part * nearest).sum() if spherical else (part - nearest).square().sum()).to(total)
    return float(total)


def _block(clusters: int) -> int:
    """Points that are compared with all centroids at a time."""
    return max(256, BLOCK // clusters)


def half_squares(centroids: Tensor, spherical: bool) -> Tensor:
    """(K,): what scores x.c - |c|^2 / 2 subtract."""
    if spherical:  # unit vectors; exactly equal, so that nothing but the inner product decides
        return centroids.new_full((len(centroids), ), .5)
    return centroids.square().sum(1) / 2


def _grouped_scores(points: Tensor, centroids: Tensor, half: Tensor, size: int, buffer: Tensor) -> Tensor:
    """Scores x.c - |c|^2 / 2, which are largest for the nearest centroid, as (groups, size, n), filled up with -inf.

    They lie in the buffer: fresh memory for each block would take a third of the time.
    A maximum over the middle runs over whole rows, which is several times as fast as one along a row.
    """
    clusters = len(centroids)
    groups = -(-clusters // size)
    scores = buffer[:groups * size * len(points)].view(groups * size, len(points))
    scores[clusters:] = -torch.inf
    torch.addmm(half[:, None], centroids, points.T, beta=-1, out=scores[:clusters])
    return scores.view(groups, size, len(points))


def _largest(scores: Tensor, best: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Group and id of the largest score of some columns, the lowest of equal ones; `best` = scores.amax(1)."""
    group = best[:, columns].argmax(0)
    return group, group * scores.shape[1] + scores[group, :, columns].argmax(1)


def _means(points: Tensor, labels: Tensor, centroids: Tensor) -> Tensor:
    """Mean of each cluster's points."""
    sizes = torch.bincount(labels, minlength=len(centroids))
    sums = torch.zeros_like(centroids).index_add_(0, labels, points)
    means = sums / sizes.clamp(min=1)[:, None].to(sums)
    return fill_empty(means, sizes.tolist())


def fill_empty(means: Tensor, sizes: list[int]) -> Tensor:
    """Move each empty cluster beside the largest one, to take half of it; in place of means (K, D) and sizes."""
    for empty in (index for index, size in enumerate(sizes) if size == 0):
        largest = max(range(len(sizes)), key=sizes.__getitem__)
        sign = torch.ones(means.shape[1], device=means.device)
        sign[1::2] = -1
        means[empty] = means[largest] * (1 + sign / 1024)
        sizes[empty] = sizes[largest] // 2
        sizes[largest] -= sizes[empty]
    return means


def unit(vectors: Tensor) -> Tensor:
    """Vectors of length 1."""
    return torch.nn.functional.normalize(vectors, dim=-1)
