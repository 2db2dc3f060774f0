"""Boxes of objects: overlap, and the pixels that they cover (docs/methods/maskdistill.md §5)."""

from collections.abc import Sequence

import numpy as np
import torch
from torchvision import ops


def box_corners(boxes: np.ndarray) -> np.ndarray:
    """COCO's boxes (N, 4) as x, y, width, height to x1, y1, x2, y2, float64."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def box_iou(box: Sequence[float], boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of a box with each of N others; 0 where both are empty.

    Args:
        box: x1, y1, x2, y2.
        boxes: (N, 4) likewise.

    Returns:
        (N,) float32.

    >>> box_iou([0, 0, 2, 2], [[1, 0, 3, 2], [5, 5, 6, 6], [0, 0, 2, 2]]).round(3).tolist()
    [0.3330000042915344, 0.0, 1.0]
    """
    first, others = (torch.tensor(np.asarray(values), dtype=torch.float32).view(-1, 4) for values in (box, boxes))
    return torch.nan_to_num(ops.box_iou(first, others)[0]).numpy()


def box_pixels(box: Sequence[float], size: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of an image that a box covers, at least one of each.

    Rows round(y) up to, not including, round(y + height), columns likewise, halves rounded to even, cut at the image. A
    box that is thinner than a pixel gets the one it begins in.

    Args:
        box: x, y, width, height in pixels.
        size: (height, width) of the image.

    Raises:
        ValueError: If the box has no finite size, or lies outside of the image.

    >>> box_pixels([2.5, 3.5, 11, 12.5], (30, 28))
    (slice(4, 16, None), slice(2, 14, None))
    """
    x, y, width, height = map(float, box)
    if not np.isfinite([x, y, width, height]).all() or width < 0 or height < 0:
        raise ValueError(f'bbox {list(box)} is not x, y, width, height in pixels.')
    spans = []
    for start, length, limit in ((y, height, size[0]), (x, width, size[1])):
        first, end = max(round(start), 0), min(round(start + length), limit)
        if first >= end and start < limit and start + length >= 0:
            first = min(max(int(start), 0), limit - 1)
            end = first + 1
        if first >= end:
            raise ValueError(f'bbox {list(box)} lies outside of its image of {size[1]}x{size[0]} pixels.')
        spans.append(slice(first, end))
    return spans[0], spans[1]
