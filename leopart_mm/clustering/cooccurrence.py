"""Which clusters lie beside each other: co-occurrence of shifted label maps.

Source: docs/methods/leopart.md §10 steps 5, 6.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np

# The sixth angle is the published one; 5π/4 was presumably meant.
PUBLISHED_ANGLES = tuple(math.pi * factor for factor in (0, 1 / 4, 1 / 2, 3 / 4, 1, 4 / 3, 3 / 2, 7 / 4))
EVEN_ANGLES = tuple(math.pi * step / 4 for step in range(8))
MAX_CELLS = 2**23  # of a chunk's histogram: 64 MB


def pixel_offsets(distances: Iterable[float], angles: Iterable[float]) -> list[tuple[int, int]]:
    """(rows, columns) to the neighbour at each distance and angle, rounded half away from 0 as scikit-image does."""
    return [(_round(math.sin(angle) * distance), _round(math.cos(angle) * distance))
            for distance in distances for angle in angles]


def _round(value: float) -> int:
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


class CoOccurrence:
    """Running sum of the row-normalised co-occurrence matrices of label maps.

    Per image: count how often id j is a neighbour of id i over all offsets, zero the diagonal, normalise each row to
    1. `matrix` is the mean of row i over the images in which i has a neighbour of another id.

    Args:
        num_clusters: K, the background id included.
        distances: In pixels.
        angles: In radians, see `PUBLISHED_ANGLES` and `EVEN_ANGLES`.
    """

    def __init__(self,
                 num_clusters: int,
                 distances: Sequence[float] = (1, 2),
                 angles: Sequence[float] = PUBLISHED_ANGLES) -> None:
        self.num_clusters = num_clusters
        self.offsets = _count_opposite_once(pixel_offsets(distances, angles))
        self.total = np.zeros((num_clusters, num_clusters))
        self.images = np.zeros(num_clusters, np.int64)

    def update(self, clusters: np.ndarray) -> None:
        """Add label maps (N, h, w).

        Raises:
            ValueError: Another number of axes, or an id out of 0..K-1.
        """
        clusters = np.asarray(clusters)
        if clusters.ndim != 3:
            raise ValueError(f'Label maps must have the shape (N, h, w), not {clusters.shape}.')
        if clusters.size and not 0 <= clusters.min() <= clusters.max() < self.num_clusters:
            raise ValueError(f'Cluster ids must lie in 0..{self.num_clusters - 1}; they reach from {clusters.min()} to '
                             f'{clusters.max()}.')
        step = max(1, MAX_CELLS // self.num_clusters**2)
        for start in range(0, len(clusters), step):
            counts = self._pair_counts(clusters[start:start + step].astype(np.int64))
            rows = counts.sum(axis=2, keepdims=True)
            self.total += np.divide(counts, rows, out=counts, where=rows > 0).sum(axis=0)
            self.images += (rows[..., 0] > 0).sum(axis=0)

    def _pair_counts(self, clusters: np.ndarray) -> np.ndarray:
        """(N, K, K) float64: how often j is a neighbour of i != j."""
        number, height, width = clusters.shape
        size = self.num_clusters
        source = clusters + np.arange(number)[:, None, None] * size
        shape = number, size, size
        counts = np.zeros(shape)
        for (down, right), (times, times_back) in self.offsets.items():
            if abs(down) >= height or abs(right) >= width:
                continue
            here = source[:, max(0, -down):height - max(0, down), max(0, -right):width - max(0, right)]
            there = clusters[:, max(0, down):height - max(0, -down), max(0, right):width - max(0, -right)]
            differ = here % size != there
            pairs = here[differ] * size + there[differ]
            found = np.bincount(pairs, minlength=math.prod(shape)).reshape(shape)
            if times:
                counts += times * found
            if times_back:
                counts += times_back * found.transpose(0, 2, 1)
        return counts

    @property
    def matrix(self) -> np.ndarray:
        """(K, K) float64, directed; a row without neighbours is 0."""
        return self.total / np.maximum(self.images, 1)[:, None]


def _count_opposite_once(offsets: Sequence[tuple[int, int]]) -> dict[tuple[int, int], tuple[int, int]]:
    """Offset -> how often it and its opposite are asked for: the opposite's counts are the transpose."""
    counted: dict[tuple[int, int], tuple[int, int]] = {}
    for down, right in offsets:
        if (-down, -right) in counted:
            forward, back = counted[-down, -right]
            counted[-down, -right] = forward, back + 1
        else:
            forward, back = counted.get((down, right), (0, 0))
            counted[down, right] = forward + 1, back
    return counted


def cooccurrence_edges(matrix: np.ndarray, threshold: float) -> np.ndarray:
    """Undirected edges of a directed co-occurrence matrix (K, K).

    Returns:
        (E, 3) float64 rows (i, j, weight), i <= j, in row-major order: both directed values reach `threshold`, the
        weight is the smaller one.
    """
    weight = np.minimum(matrix, matrix.T)
    rows, columns = np.nonzero(np.triu(weight >= threshold))
    return np.stack([rows, columns, weight[rows, columns]], axis=1).astype(np.float64)
