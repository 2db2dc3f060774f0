"""Segmenting large images in overlapping tiles."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Span:
    """A tile along one axis: it reads pixels start..stop-1 and decides pixels own_start..own_stop-1."""

    start: int
    stop: int
    own_start: int
    own_stop: int


def spans(length: int, tile: int, overlap: int) -> list[Span]:
    """Tiles along an axis of `length` pixels: of equal size, evenly spread, overlapping by `overlap` at least.

    Each pixel is decided by the tile whose centre is nearest. On a grid of tiles this holds for both axes together.

    Raises:
        ValueError: A tile of no size, or an overlap that is not in 0..tile-1.
    """
    if tile < 1 or not 0 <= overlap < tile:
        raise ValueError(f'Tiles of {tile} px with an overlap of {overlap} px: the overlap must be smaller than the '
                         'tile, and neither negative.')
    if length <= tile:
        return [Span(0, length, 0, length)]
    count = math.ceil((length - overlap) / (tile - overlap))
    starts = [round(index * (length - tile) / (count - 1)) for index in range(count)]
    borders = [0, *((one + other + tile) // 2 for one, other in pairwise(starts)), length]
    return [Span(start, start + tile, *own) for start, own in zip(starts, pairwise(borders), strict=True)]


def segment_tiles(image: np.ndarray, tile: int, overlap: int, predict: Callable[[np.ndarray], np.ndarray],
                  dtype: np.dtype | type = np.int64) -> np.ndarray:
    """Label map of an image, tile by tile; one tile is in memory at a time.

    Cluster ids cannot be averaged where tiles overlap, so each pixel takes the tile whose centre is nearest: the one
    that saw most around it.

    Args:
        image: (H, W, C), maybe a memory map.
        tile: Side of a tile in pixels.
        overlap: By how much neighbours overlap at least.
        predict: (h, w, C) to labels (h, w).
        dtype: Type of the result.

    Returns:
        (H, W) labels.
    """
    labels = np.empty(image.shape[:2], dtype)
    for rows in spans(image.shape[0], tile, overlap):
        for columns in spans(image.shape[1], tile, overlap):
            part = predict(np.ascontiguousarray(image[rows.start:rows.stop, columns.start:columns.stop]))
            labels[rows.own_start:rows.own_stop, columns.own_start:columns.own_stop] = part[
                rows.own_start - rows.start:rows.own_stop - rows.start,
                columns.own_start - columns.start:columns.own_stop - columns.start]
    return labels
