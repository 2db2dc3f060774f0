"""Which clusters lie beside each other: co-occurrence of the pixels of label maps.

Source: docs/methods/leopart.md §10 steps 5, 6.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from leopart_mm.clustering.counting import NeighbourCounts
from leopart_mm.devices import has_float64
from leopart_mm.geometry.cell_counts import cell_pairs, pixels_per_cell
from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.late_checks import LateChecks

# The sixth angle is the published one; 5π/4 was presumably meant.
PUBLISHED_ANGLES = tuple(math.pi * factor for factor in (0, 1 / 4, 1 / 2, 3 / 4, 1, 4 / 3, 3 / 2, 7 / 4))
MAX_CELLS = 2**23  # of a chunk's histogram: 64 MB


def pixel_offsets(distances: Iterable[float], angles: Iterable[float]) -> list[tuple[int, int]]:
    """(rows, columns) to the neighbour at each distance and angle, rounded half away from 0 as scikit-image does.

    >>> pixel_offsets([1, 2], [0, math.pi / 4, 4 * math.pi / 3])
    [(0, 1), (1, 1), (-1, -1), (0, 2), (1, 1), (-2, -1)]
    """
    return [(_round(math.sin(angle) * distance), _round(math.cos(angle) * distance))
            for distance in distances for angle in angles]


def _round(value: float) -> int:
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


class CoOccurrence:
    """Running sum of the row-normalised co-occurrence matrices of label maps.

    Per image: count how often id j is a neighbour of id i over all offsets, zero the diagonal, normalise each row to
    1. `matrix` is the mean of row i over the images in which i has a neighbour of another id.

    Maps on a patch grid are counted as if they were resized (nearest) to `size` first, at the cost of the grid: see
    `leopart_mm.geometry.cell_counts`. Maps on a CUDA GPU are counted there; the sums come to the host when they are
    asked for.

    Args:
        num_clusters: K, the background id included.
        distances: Distances to neighbours, in pixels of the resized map.
        angles: Directions of neighbours, in radians.
        size: (H, W) that maps are resized to; None: they are counted as they are.

    Attributes: `total` (K, K), `images` (K,) and `pixels` (K,) int64, number of pixels of each cluster in the resized
    maps.
    """

    def __init__(self, num_clusters: int, distances: Sequence[float] = (1, 2),
                 angles: Sequence[float] = PUBLISHED_ANGLES, size: tuple[int, int] | None = (100, 100)) -> None:
        self.num_clusters = num_clusters
        self.offsets = tuple(pixel_offsets(distances, angles))
        self.size = size
        self.total = np.zeros((num_clusters, num_clusters))
        self.images = np.zeros(num_clusters, np.int64)
        self.pixels = np.zeros(num_clusters, np.int64)
        self._on_device: NeighbourCounts | None = None
        self._checks = LateChecks()

    def update(self, clusters: np.ndarray | Tensor, extent: Extent | None = None) -> None:
        """Add label maps (N, h, w) of images that share one place `extent` on the grid (see `upsample_labels`).

        Raises:
            ValueError: If the maps do not have three axes, or an id is not in 0..K-1 (of maps on a GPU when the sums
                are asked for).
        """
        if clusters.ndim != 3:
            raise ValueError(f'Label maps must have the shape (N, h, w), not {tuple(clusters.shape)}.')
        if isinstance(clusters, Tensor) and clusters.device.type != 'cpu' and has_float64(clusters.device):
            self._update_on_device(clusters, extent)
            return
        clusters = clusters.cpu().numpy() if isinstance(clusters, Tensor) else np.asarray(clusters)
        if clusters.size and not 0 <= clusters.min() <= clusters.max() < self.num_clusters:
            raise ValueError(f'Cluster ids must lie in 0..{self.num_clusters - 1}; they reach from {clusters.min()} to '
                             f'{clusters.max()}.')
        grid = tuple(clusters.shape[1:])
        here, there, counts = cell_pairs(grid, self.offsets, self.size, extent)
        weights = pixels_per_cell(grid, self.size, extent)
        flat = clusters.reshape(len(clusters), -1).astype(np.int64)
        self.pixels += np.bincount(flat.ravel(), weights=np.tile(weights, len(flat)),
                                   minlength=self.num_clusters).astype(np.int64)
        step = max(1, MAX_CELLS // self.num_clusters**2)
        for start in range(0, len(flat), step):
            self._add(flat[start:start + step], here, there, counts)

    def _update_on_device(self, clusters: Tensor, extent: Extent | None) -> None:
        if self._on_device is None:
            self._on_device = NeighbourCounts(self.num_clusters, clusters.device)
        flat, last = clusters.flatten(1).long(), self.num_clusters - 1
        self._checks.add(((flat < 0) | (flat > last)).sum(),
                         lambda number: f'Cluster ids must lie in 0..{last}; {number} cells hold others.')
        grid = tuple(clusters.shape[1:])
        geometry = pixels_per_cell(grid, self.size, extent), *cell_pairs(grid, self.offsets, self.size, extent)
        self._on_device.add(flat.clamp(0, last), *(torch.from_numpy(part.copy()) for part in geometry))

    def collect(self) -> None:
        """Bring what was counted on a GPU to the host.

        Raises:
            ValueError: If an id was not in 0..K-1.
        """
        self._checks.finish()
        if self._on_device is not None:
            for name in ('total', 'images', 'pixels'):
                setattr(self, name, getattr(self, name) + getattr(self._on_device, name).cpu().numpy())
            self._on_device = None

    def _add(self, flat: np.ndarray, here: np.ndarray, there: np.ndarray, counts: np.ndarray) -> None:
        """Sum of row-normalised counts, touching only pairs of ids that occur."""
        size = self.num_clusters
        source, target = flat[:, here], flat[:, there]
        image, pair = np.nonzero(source != target)
        rows = image * size + source[image, pair]
        weights = counts[pair]
        row_sums = np.bincount(rows, weights=weights, minlength=len(flat) * size)
        cells = source[image, pair] * size + target[image, pair]
        self.total += np.bincount(cells, weights=weights / row_sums[rows], minlength=size * size).reshape(size, size)
        self.images += (row_sums.reshape(len(flat), size) > 0).sum(axis=0)

    def state(self) -> dict[str, np.ndarray]:
        """Plain contents, for sending to another process."""
        self.collect()
        return dict(total=self.total, images=self.images, pixels=self.pixels)

    def merge(self, state: dict[str, np.ndarray]) -> None:
        """Add the `state` of another counter."""
        self.collect()
        self.total = self.total + state['total']
        self.images = self.images + state['images']
        self.pixels = self.pixels + state['pixels']

    @property
    def matrix(self) -> np.ndarray:
        """(K, K) float64, directed; a row without neighbours is 0.

        Rounded to 12 decimals: the order in which images were summed must not decide between equal weights.
        """
        self.collect()
        return np.round(self.total / np.maximum(self.images, 1)[:, None], 12)


def cooccurrence_edges(matrix: np.ndarray, threshold: float) -> np.ndarray:
    """Undirected edges of a directed co-occurrence matrix (K, K).

    Returns:
        (E, 3) float64 rows (i, j, weight), i <= j, in row-major order: both directed values reach `threshold`, the
        weight is the smaller of the two.

    >>> cooccurrence_edges(np.array([[0, 1, 0], [.75, 0, .25], [0, .1, 0]]), 0.2).tolist()
    [[0.0, 1.0, 0.75]]
    """
    weight = np.minimum(matrix, matrix.T)
    rows, columns = np.nonzero(np.triu(weight >= threshold))
    return np.stack([rows, columns, weight[rows, columns]], axis=1).astype(np.float64)
