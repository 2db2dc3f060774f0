"""Lloyd steps of k-means for GPUs: all points against all centroids, without a decision on the host.

A GPU computes scores faster than it finds out which of them it could leave out (`lloyd`, for the CPU).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from leopart_mm.clustering.counting import count_ids
from leopart_mm.clustering.lloyd import LloydRun, fill_empty, half_squares, unit
from leopart_mm.devices import exact_products, has_float64

BLOCK = 2**23  # scores computed at a time: 32 MB, which the cache of a large GPU holds


class DenseLloyd(LloydRun):
    """A run of k-means that can be continued step by step; the same steps as those of `Lloyd`, apart from rounding.

    Scores, labels and sums are computed block by block. Sums are products with one-hot labels in a fixed order, so that
    a run gives the same bits again. The host reads two numbers per step: how many labels changed, and how many clusters
    are empty.

    Args:
        points: (n, D) float32.
        centroids: (K, D), where the run starts.
        spherical: Cluster by inner product with centroids of unit length.

    Attributes:
        centroids: (K, D) after the last step.
        labels: (n,) int64 of the last step.
        converged: Whether the last step changed no label.
    """

    def run(self, iterations: int) -> 'DenseLloyd':
        """Take `iterations` steps, or fewer where further ones would change nothing."""
        with exact_products():
            for _ in range(iterations):
                if self.converged:
                    break
                self._step()
        return self

    def _step(self) -> None:
        sums, sizes, changed = self.assign()
        changed, empty = torch.stack([changed, (sizes == 0).sum()]).tolist()
        self.converged = self._steps > 0 and changed == 0
        self._steps += 1
        self._assigned_to = self.centroids
        if self.converged:
            return
        means = (sums / sizes.clamp(min=1)[:, None]).to(self.points.dtype)
        if empty:
            means = fill_empty(means, sizes.tolist())
        self.centroids = unit(means) if self.spherical else means

    def assign(self) -> tuple[Tensor, Tensor, Tensor]:
        """Update the labels; the host waits for nothing.

        Returns:
            Sums (K, D) and number (K,) of the points of each cluster, and () how many labels changed.
        """
        clusters, channels = self.centroids.shape
        exact = torch.float64 if has_float64(self.points.device) else torch.float32
        sums = torch.zeros(clusters, channels, dtype=exact, device=self.points.device)
        changed = torch.zeros((), dtype=torch.long, device=sums.device)
        for rows, labels, scores in _blocks(self.points, self.centroids, self.spherical):
            changed += (labels != self.labels[rows]).sum()
            self.labels[rows] = labels
            one_hot = scores.zero_().scatter_(1, labels[:, None], 1)
            sums += (one_hot.T @ self.points[rows]).to(exact)
        return sums, count_ids(self.labels, clusters), changed


def dense_nearest(points: Tensor, centroids: Tensor, spherical: bool = False) -> Tensor:
    """As `lloyd.nearest`; the host waits for nothing."""
    labels = torch.empty(len(points), dtype=torch.long, device=points.device)
    with exact_products():
        for rows, found, _ in _blocks(points, centroids, spherical):
            labels[rows] = found
    return labels


def _blocks(points: Tensor, centroids: Tensor, spherical: bool) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Rows, their labels, of equal scores the lowest, and the array (rows, K) of the scores, which may be overwritten.
    """
    half, step = half_squares(centroids, spherical), max(256, BLOCK // len(centroids))
    buffer = points.new_empty(min(step, len(points)), len(centroids))
    for start in range(0, len(points), step):
        rows = slice(start, min(start + step, len(points)))
        scores = buffer[:rows.stop - start]
        torch.addmm(half, points[rows], centroids.T, beta=-1, out=scores)
        yield rows, scores.argmax(1), scores
