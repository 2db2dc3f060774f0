"""The classes inside each patch: pixel counts, from which soft labels follow.

Source: docs/methods/neco.md §8.3.
"""

import torch
from torch import Tensor

from leopart_mm.clustering.contingency import cell_histogram
from leopart_mm.devices import move
from leopart_mm.geometry.patch_grid import cell_indices
from leopart_mm.late_checks import Check, check_at_once

VOID = 255
VOID_RULES = ('exclude', 'class0')


def patch_class_counts(labels: Tensor,
                       grid: tuple[int, int],
                       num_classes: int,
                       extent: tuple[float, float, float, float] | None = None,
                       ignore_index: int = VOID,
                       void: str = 'exclude',
                       check: Check = check_at_once) -> Tensor:
    """Count the pixels of each class in every patch.

    Args:
        labels: (H, W) class ids of an image, at any size: a pixel counts in the patch under its centre.
        grid: (h, w) patches.
        num_classes: Number of classes C.
        extent: (top, bottom, left, right) of the image in cells of the grid; None: the whole grid.
        ignore_index: Label that is no class, besides 255.
        void: 'exclude': pixels without a class are not counted. 'class0': 255 counts as class 0 and nothing is ignored,
            as published (background then swallows the borders of objects).
        check: Who is told on a GPU how many labels are out of range; see `contingency_table`.

    Returns:
        (h*w, C) int64.

    Raises:
        ValueError: If `void` is unknown, or a label is not in 0..C-1.

    >>> patch_class_counts(torch.tensor([[0, 0, 1, 255]]), (1, 2), 2).tolist()
    [[2, 0], [0, 1]]
    """
    if void not in VOID_RULES:
        raise ValueError(f'void={void!r} is unknown; choose from: {", ".join(VOID_RULES)}.')
    labels = labels.long()
    if void == 'class0':
        labels = labels.masked_fill(labels == VOID, 0)
    else:
        labels = labels.masked_fill(labels == ignore_index, VOID)
    cells = move(cell_indices(grid, tuple(labels.shape), extent), labels.device)
    return cell_histogram(labels, cells, grid[0] * grid[1], num_classes, None if void == 'class0' else VOID, check)


def soft_labels(counts: Tensor) -> Tensor:
    """Class frequencies (..., C) float32 of pixel counts (..., C); 0 for a patch without any counted pixel.

    >>> soft_labels(torch.tensor([[3, 1], [0, 0]])).tolist()
    [[0.75, 0.25], [0.0, 0.0]]
    """
    counts = counts.float()
    return counts / counts.sum(-1, keepdim=True).clamp(min=1)


def compact_dtype(largest: int) -> torch.dtype:
    """The smallest integer type that holds counts up to `largest`: one byte for patches of up to 15 x 15 pixels.

    >>> compact_dtype(16 * 16)
    torch.int16
    """
    for dtype in (torch.uint8, torch.int16):
        if largest <= torch.iinfo(dtype).max:
            return dtype
    return torch.int32
