"""From label maps on the patch grid to pixels."""

import torch
from torch import Tensor

NEAREST_RULES = ('centre', 'corner')


def upsample_labels(labels: Tensor,
                    size: tuple[int, int],
                    extent: tuple[float, float, float, float] | None = None,
                    rule: str = 'centre') -> Tensor:
    """Nearest upsampling of label maps, without ever holding scores of full size.

    Args:
        labels: (..., h, w), any type.
        size: (H, W) of the result.
        extent: (top, bottom, left, right) of the image in cells of the grid, where its border does not fall on that of
            the grid: an image 100 pixels high in patches of 16 reaches from 0 to 6.25. None: the whole grid.
        rule: 'centre': a pixel takes the cell under its centre; 'corner': under its upper left corner, which is what
            `F.interpolate(mode='nearest')` does (published).

    Returns:
        (..., H, W).

    Raises:
        ValueError: Unknown rule.
    """
    rows, columns = nearest_cells(labels.shape[-2:], size, extent, rule)
    return labels.index_select(-2, rows.to(labels.device)).index_select(-1, columns.to(labels.device))


def nearest_cells(grid: tuple[int, int],
                  size: tuple[int, int],
                  extent: tuple[float, float, float, float] | None = None,
                  rule: str = 'centre') -> tuple[Tensor, Tensor]:
    """The grid row of every pixel row (H,) and the grid column of every pixel column (W,); see `upsample_labels`."""
    if rule not in NEAREST_RULES:
        raise ValueError(f'Nearest rule {rule!r} is unknown; there are: {", ".join(NEAREST_RULES)}.')
    top, bottom, left, right = extent or (0, grid[0], 0, grid[1])
    return _cells(size[0], top, bottom, grid[0], rule), _cells(size[1], left, right, grid[1], rule)


def cell_indices(grid: tuple[int, int],
                 size: tuple[int, int],
                 extent: tuple[float, float, float, float] | None = None,
                 rule: str = 'centre') -> Tensor:
    """(H, W) int64: the row-major index of the cell under every pixel; see `upsample_labels`."""
    rows, columns = nearest_cells(grid, size, extent, rule)
    return rows[:, None] * grid[1] + columns


def _cells(pixels: int, start: float, end: float, cells: int, rule: str) -> Tensor:
    position = torch.arange(pixels, dtype=torch.float64) + (0.5 if rule == 'centre' else 0)
    # 1e-9: 3 * (28 / 84) must not fall short of 1
    return (start + position * ((end - start) / pixels) + 1e-9).floor().long().clamp(0, cells - 1)
