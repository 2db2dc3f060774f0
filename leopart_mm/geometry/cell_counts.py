"""Counts of pixels and of neighbouring pixels on a label map that is constant on the cells of a grid.

A patch-grid label map resized (nearest) to, say, 100x100 holds the same few hundred cells ten times over. How many
pixels fall in a cell, and how many pixels of one cell lie beside those of another, does not depend on the labels:
it is counted once per geometry, and sums over pixels become weighted sums over cells, exactly.
"""

from functools import lru_cache

import numpy as np

from leopart_mm.geometry.patch_grid import Extent, cell_indices


@lru_cache(maxsize=128)
def pixels_per_cell(grid: tuple[int, int], size: tuple[int, int] | None = None,
                    extent: Extent | None = None) -> np.ndarray:
    """How many pixels of a map resized to `size` (nearest, corner rule) fall in each cell; int64 (cells,), read-only.

    Args:
        grid: (h, w) of the label map.
        size: (H, W) it is resized to; None: every cell counts 1.
        extent: Where the image lies on the grid; None: it covers the whole grid.

    >>> pixels_per_cell((1, 2), (3, 3)).tolist()
    [6, 3]
    """
    cells = grid[0] * grid[1]
    if size is None:
        weights = np.ones(cells, np.int64)
    else:
        weights = np.bincount(cell_indices(grid, size, extent, 'corner').numpy().ravel(), minlength=cells)
    weights.setflags(write=False)
    return weights


@lru_cache(maxsize=128)
def cell_pairs(grid: tuple[int, int], offsets: tuple[tuple[int, int], ...], size: tuple[int, int] | None = None,
               extent: Extent | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which cells have neighbouring pixels, and how many pairs.

    Args:
        grid, size, extent: As in `pixels_per_cell`.
        offsets: (rows, columns) to a neighbour; an offset that is given twice counts twice.

    Returns:
        Cells `here` (P,) and `there` (P,), always different, and the number of pixel pairs (P,) float64: over all
        offsets, a pixel of `here` has a neighbour in `there`.
    """
    cells = cell_indices(grid, size or grid, extent if size else None, 'corner').numpy()
    height, width = cells.shape
    number = grid[0] * grid[1]
    found = [np.zeros(0, np.int64)]
    for down, right in offsets:
        if abs(down) >= height or abs(right) >= width:
            continue
        here = cells[max(0, -down):height - max(0, down), max(0, -right):width - max(0, right)]
        there = cells[max(0, down):height - max(0, -down), max(0, right):width - max(0, -right)]
        differ = here != there
        found.append(here[differ] * number + there[differ])
    pairs, counts = np.unique(np.concatenate(found), return_counts=True)
    result = pairs // number, pairs % number, counts.astype(np.float64)
    for array in result:
        array.setflags(write=False)
    return result
