"""Segmenting large images in overlapping tiles."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Span:
    """A tile along one axis.

    Args:
        start, stop: The tile is made of the pixels start..stop-1.
        core_start, core_stop: Of these, the tile decides the labels of the pixels core_start..core_stop-1.
    """

    start: int
    stop: int
    core_start: int
    core_stop: int


def spans(length: int, tile: int, overlap: int) -> list[Span]:
    """Tiles along an axis: of equal size, `tile` - `overlap` apart, the last one at the end of the axis; each pixel is
    decided by the tile whose centre is nearest.

    On a grid of tiles this holds for both axes together. Where one more pixel needs one more tile, that tile lies one
    pixel beside the last one: labels do not jump with the length (tiles spread evenly would all move).

    Args:
        length: Length of the axis in pixels.
        tile: Side of a tile in pixels.
        overlap: Least number of pixels that neighbours share.

    Raises:
        ValueError: If `tile` is less than 1, or `overlap` not in 0..tile-1.

    >>> [(span.start, span.stop, span.core_start, span.core_stop) for span in spans(10, 6, 2)]
    [(0, 6, 0, 5), (4, 10, 5, 10)]
    """
    if tile < 1 or not 0 <= overlap < tile:
        raise ValueError(f'Tiles of {tile} px with an overlap of {overlap} px: the overlap must be smaller than the '
                         'tile, and neither negative.')
    if length <= tile:
        return [Span(0, length, 0, length)]
    count = math.ceil((length - overlap) / (tile - overlap))
    starts = [*(index * (tile - overlap) for index in range(count - 1)), length - tile]
    borders = [0, *((left + right + tile) // 2 for left, right in pairwise(starts)), length]
    return [Span(start, start + tile, *core) for start, core in zip(starts, pairwise(borders), strict=True)]


def segment_tiles(image: np.ndarray, tile: int, overlap: int, predict: Callable[..., np.ndarray],
                  dtype: np.dtype | type = np.int64, missing: np.ndarray | None = None) -> np.ndarray:
    """Label map of an image, tile by tile; one tile is in memory at a time.

    Cluster ids cannot be averaged where tiles overlap, so each pixel takes its label from the tile whose centre is
    nearest, which saw most around it.

    Args:
        image: (H, W, C), also a memory map.
        tile: Side of a tile in pixels.
        overlap: Least number of pixels that neighbours share.
        predict: Function of a tile (h, w, C), and its part of `missing` if that is given, that returns labels (h, w).
        dtype: Type of the returned labels.
        missing: (H, W) bool, pixels without data.

    Returns:
        (H, W) labels.
    """
    labels = np.empty(image.shape[:2], dtype)
    for rows in spans(image.shape[0], tile, overlap):
        for columns in spans(image.shape[1], tile, overlap):
            place = slice(rows.start, rows.stop), slice(columns.start, columns.stop)
            part = predict(np.ascontiguousarray(image[place]), *(() if missing is None else (missing[place], )))
            labels[rows.core_start:rows.core_stop, columns.core_start:columns.core_stop] = part[
                rows.core_start - rows.start:rows.core_stop - rows.start,
                columns.core_start - columns.start:columns.core_stop - columns.start]
    return labels
