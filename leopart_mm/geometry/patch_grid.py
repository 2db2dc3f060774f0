"""The patch grid of an image: where the image lies on it, and the way from maps on the grid to pixels."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from leopart_mm.devices import move

NEAREST_RULES = ('centre', 'corner')


class Extent(NamedTuple):
    """Where an image lies on a grid, in cells; cells outside are padding.

    The border of an image need not fall on that of a cell: an image 100 pixels high in patches of 16 reaches from 0 to
    6.25.
    """

    top: float
    bottom: float
    left: float
    right: float


def image_extent(input_size: tuple[int, int],
                 grid: tuple[int, int],
                 padding: tuple[int, int, int, int] = (0, 0, 0, 0),
                 patch_size: int | None = None) -> Extent:
    """Where an image lies on the patch grid of a padded input.

    Args:
        input_size: (H, W) of the network's input, padding included.
        grid: (h, w) of its maps.
        padding: (left, right, top, bottom) pixels of the input that are no image, as MMEngine writes them.
        patch_size: Pixels per cell; None: the maps cover the input evenly (images are resized to the grid).

    >>> image_extent((100, 200), (7, 13), patch_size=16)
    Extent(top=0.0, bottom=6.25, left=0.0, right=12.5)
    """
    left, right, top, bottom = padding
    cell_y, cell_x = (patch_size, patch_size) if patch_size else (input_size[0] / grid[0], input_size[1] / grid[1])
    return Extent(top / cell_y, (input_size[0] - bottom) / cell_y, left / cell_x, (input_size[1] - right) / cell_x)


def scale_extent(extent: Extent, grid: tuple[int, int], new_grid: tuple[int, int]) -> Extent:
    """The extent on a map of `new_grid` cells that covers the same area as that of `grid` cells."""
    scale_y, scale_x = new_grid[0] / grid[0], new_grid[1] / grid[1]
    top, bottom, left, right = extent
    return Extent(top * scale_y, bottom * scale_y, left * scale_x, right * scale_x)


def content_of(extent: Extent, grid: tuple[int, int]) -> tuple[slice, slice, Extent]:
    """Rows and columns of `grid` that hold at least one pixel of the image, and the extent on this cut-out.

    >>> content_of(Extent(1, 3.25, 0, 4), (4, 6))
    (slice(1, 4, None), slice(0, 4, None), Extent(top=0, bottom=2.25, left=0, right=4))
    """
    top, bottom, left, right = extent
    rows, columns = _cover(top, bottom, grid[0]), _cover(left, right, grid[1])
    return rows, columns, Extent(top - rows.start, bottom - rows.start, left - columns.start, right - columns.start)


def content_groups(extents: Sequence[Extent],
                   grid: tuple[int, int]) -> list[tuple[list[int], tuple[slice, slice, Extent]]]:
    """Indices of the images of equal extent, each group with its `content_of`, so that they are treated at once."""
    groups: dict[Extent, list[int]] = {}
    for index, extent in enumerate(extents):
        groups.setdefault(extent, []).append(index)
    return [(members, content_of(extent, grid)) for extent, members in groups.items()]


def image_index(members: Sequence[int], device: torch.device) -> slice | Tensor:
    """What picks these images of a batch: a slice if they follow each other, else their numbers on the device.

    >>> image_index([2, 3, 4], 'cpu'), image_index([0, 2], 'cpu')
    (slice(2, 5, None), tensor([0, 2]))
    """
    if list(members) == list(range(members[0], members[-1] + 1)):
        return slice(members[0], members[-1] + 1)
    return move(torch.tensor(members), device)


def _cover(start: float, end: float, cells: int) -> slice:
    return slice(math.floor(start + 1e-6), min(cells, math.ceil(end - 1e-6)))


def upsample_labels(labels: Tensor,
                    size: tuple[int, int],
                    extent: Extent | None = None,
                    rule: str = 'centre') -> Tensor:
    """Nearest upsampling of label maps, without ever holding scores of full size.

    Args:
        labels: (..., h, w), any type.
        size: (H, W) of the result.
        extent: Where the image lies on the grid; None: it covers the whole grid.
        rule: 'centre': a pixel takes the cell under its centre; 'corner': under its upper left corner, which is what
            `F.interpolate(mode='nearest')` does (published).

    Returns:
        (..., H, W).

    Raises:
        ValueError: If `rule` is unknown.

    >>> upsample_labels(torch.tensor([[0, 1, 2]]), (1, 10), Extent(0, 1, 0, 2.5)).tolist()
    [[0, 0, 0, 0, 1, 1, 1, 1, 2, 2]]
    """
    rows, columns = nearest_cells(labels.shape[-2:], size, extent, rule)
    return labels.index_select(-2, move(rows, labels.device)).index_select(-1, move(columns, labels.device))


def upsample_scores(scores: Tensor, size: tuple[int, int], extent: Extent | None = None) -> Tensor:
    """Bilinear upsampling of scores (align_corners False).

    Args:
        scores: (C, h, w).
        size: (H, W) of the result.
        extent: Where the image lies on the grid; None: it covers the whole grid.

    Returns:
        (C, H, W).
    """
    height, width = scores.shape[-2:]
    if extent is None or tuple(extent) == (0, height, 0, width):
        return F.interpolate(scores[None], size, mode='bilinear', align_corners=False)[0]
    top, bottom, left, right = extent
    # Pixel centres on the grid, as grid_sample expects them: -1 and 1 are the outer borders of the first and last
    # cell.
    rows = (top + (torch.arange(size[0]) + 0.5) * ((bottom - top) / size[0])) * (2 / height) - 1
    columns = (left + (torch.arange(size[1]) + 0.5) * ((right - left) / size[1])) * (2 / width) - 1
    points = move(torch.stack(torch.meshgrid(columns, rows, indexing='xy'), -1).to(scores.dtype), scores.device)
    return F.grid_sample(scores[None], points[None], mode='bilinear', padding_mode='border', align_corners=False)[0]


def upsample_strips(scores: Tensor, size: tuple[int, int], extent: Extent | None = None,
                    pixels: int = 2**15) -> Iterator[tuple[slice, Tensor]]:
    """`upsample_scores` some rows at a time, so that maps of many channels are never held at full size.

    Args:
        scores: (C, h, w).
        size: (H, W) of the whole.
        extent: As for `upsample_scores`.
        pixels: Number of pixels per strip; at least one row.

    Yields:
        Rows of the whole, and (C, rows, W).
    """
    grid = scores.shape[-2:]
    top, bottom, left, right = extent or (0, grid[0], 0, grid[1])
    above, below, down = (move(part, scores.device) for part in _neighbours(size[0], top, bottom, grid[0]))
    before, after, along = (move(part, scores.device) for part in _neighbours(size[1], left, right, grid[1]))
    wide = torch.lerp(scores[..., before], scores[..., after], along.to(scores))
    step = max(1, pixels // size[1])
    for start in range(0, size[0], step):
        rows = slice(start, min(start + step, size[0]))
        yield rows, torch.lerp(wide[:, above[rows]], wide[:, below[rows]], down[rows, None].to(scores))


def _neighbours(pixels: int, start: float, end: float, cells: int) -> tuple[Tensor, Tensor, Tensor]:
    """Per pixel of an axis the cells whose centres lie before and behind its own, and how far it is between them."""
    position = start + (torch.arange(pixels, dtype=torch.float64) + 0.5) * ((end - start) / pixels) - 0.5
    position = position.clamp(0, cells - 1)
    first = position.floor().long()
    return first, (first + 1).clamp(max=cells - 1), position - first


def nearest_cells(grid: tuple[int, int],
                  size: tuple[int, int],
                  extent: Extent | None = None,
                  rule: str = 'centre') -> tuple[Tensor, Tensor]:
    """The grid row of every pixel row (H,) and the grid column of every pixel column (W,); see `upsample_labels`."""
    if rule not in NEAREST_RULES:
        raise ValueError(f'Nearest rule {rule!r} is unknown; known are: {", ".join(NEAREST_RULES)}.')
    top, bottom, left, right = extent or (0, grid[0], 0, grid[1])
    return _cells(size[0], top, bottom, grid[0], rule), _cells(size[1], left, right, grid[1], rule)


def cell_indices(grid: tuple[int, int],
                 size: tuple[int, int],
                 extent: Extent | None = None,
                 rule: str = 'centre') -> Tensor:
    """(H, W) int64: the row-major index of the cell under every pixel; see `upsample_labels`.

    >>> cell_indices((1, 3), (1, 5), Extent(0, 1, 0, 2.5)).tolist()
    [[0, 0, 1, 1, 2]]
    """
    rows, columns = nearest_cells(grid, size, extent, rule)
    return rows[:, None] * grid[1] + columns


def _cells(pixels: int, start: float, end: float, cells: int, rule: str) -> Tensor:
    position = torch.arange(pixels, dtype=torch.float64) + (0.5 if rule == 'centre' else 0)
    # 1e-9: 3 * (28 / 84) must not fall short of 1
    return (start + position * ((end - start) / pixels) + 1e-9).floor().long().clamp(0, cells - 1)
