"""Co-occurrence of label maps that are constant on the cells of a grid."""

from collections.abc import Sequence

import numpy as np

from leopart_mm.clustering.cooccurrence import MAX_CELLS, PUBLISHED_ANGLES, pixel_offsets
from leopart_mm.geometry.cell_counts import Extent, cell_pairs, cell_weights


class CellCoOccurrence:
    """The matrix of `CoOccurrence` for maps resized (nearest) from a patch grid, at the cost of the grid.

    Equal to resizing the maps first; see `leopart_mm.geometry.cell_counts`. Sums of several processes are merged.

    Args:
        num_clusters: K, the background id included.
        distances, angles: As in `CoOccurrence`, in pixels of the resized map.
        size: (H, W) that maps are resized to; None: they are counted as they are.

    Attributes: `pixels` (K,) int64, how many pixels of the resized maps each cluster has.
    """

    def __init__(self, num_clusters: int, distances: Sequence[float] = (1, 2),
                 angles: Sequence[float] = PUBLISHED_ANGLES, size: tuple[int, int] | None = (100, 100)) -> None:
        self.num_clusters = num_clusters
        self.offsets = tuple(pixel_offsets(distances, angles))
        self.size = size
        self.total = np.zeros((num_clusters, num_clusters))
        self.images = np.zeros(num_clusters, np.int64)
        self.pixels = np.zeros(num_clusters, np.int64)

    def update(self, clusters: np.ndarray, extent: Extent | None = None) -> None:
        """Add label maps (N, h, w) that lie on their grid alike.

        Raises:
            ValueError: Another number of axes, or an id out of 0..K-1.
        """
        clusters = np.asarray(clusters)
        if clusters.ndim != 3:
            raise ValueError(f'Label maps must have the shape (N, h, w), not {clusters.shape}.')
        if clusters.size and not 0 <= clusters.min() <= clusters.max() < self.num_clusters:
            raise ValueError(f'Cluster ids must lie in 0..{self.num_clusters - 1}; they reach from {clusters.min()} to '
                             f'{clusters.max()}.')
        grid = tuple(clusters.shape[1:])
        here, there, counts = cell_pairs(grid, self.offsets, self.size, extent)
        weights = cell_weights(grid, self.size, extent)
        flat = clusters.reshape(len(clusters), -1).astype(np.int64)
        self.pixels += np.bincount(flat.ravel(), weights=np.tile(weights, len(flat)),
                                   minlength=self.num_clusters).astype(np.int64)
        step = max(1, MAX_CELLS // self.num_clusters**2)
        for start in range(0, len(flat), step):
            self._add(flat[start:start + step], here, there, counts)

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
        return dict(total=self.total, images=self.images, pixels=self.pixels)

    def merge(self, state: dict[str, np.ndarray]) -> None:
        """Add what another one counted."""
        self.total = self.total + state['total']
        self.images = self.images + state['images']
        self.pixels = self.pixels + state['pixels']

    @property
    def matrix(self) -> np.ndarray:
        """(K, K) float64, directed; a row without neighbours is 0.

        Rounded to 12 decimals: the order in which images were summed must not decide between equal weights.
        """
        return np.round(self.total / np.maximum(self.images, 1)[:, None], 12)
