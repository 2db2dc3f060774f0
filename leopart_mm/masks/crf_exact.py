"""The kernels of the dense CRF over all pairs of pixels, without approximation."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from leopart_mm.devices import in_float64, move

BLOCK_ENTRIES = 1 << 24
"""Entries of the kernel matrix that are held at once (128 MB)."""


def exact_messages(image: Tensor, settings: Any) -> Callable[[Tensor, Tensor], None]:
    """The messages of the dense CRF by brute force, in float64.

    Source: docs/methods/primaps.md §5.1.

    Args:
        image: (H, W, 3) uint8, RGB.
        settings: CRFSettings; weights and deviations are read.

    Returns:
        A function of marginals (N, V), N = H * W in row-major order, and of an array (N, V) to which the sum over
        kernels of weight times the symmetrically normalised kernel times the marginals is added. Memory is bounded
        whatever N is.
    """
    kernels = []
    if settings.smooth_weight:
        kernels.append((settings.smooth_weight, _separable(image, settings.smooth_xy)))
    if settings.appearance_weight:
        kernels.append((settings.appearance_weight, _all_pairs(bilateral_features(
            image, settings.appearance_xy, settings.appearance_rgb, torch.float64))))
    ones = in_float64(image.new_ones(image.shape[:2].numel(), 1, dtype=torch.float32))
    parts = [(weight, kernel, (kernel(ones) + 1e-20).rsqrt()) for weight, kernel in kernels]

    def messages(marginals: Tensor, total: Tensor) -> None:
        values = in_float64(marginals)
        for weight, kernel, norm in parts:
            total += (weight * norm * kernel(norm * values)).to(total)

    return messages


def bilateral_features(image: Tensor, xy: float, rgb: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """Features (N, 5) of the appearance kernel: (x, y) / xy and colours / rgb, of an image (H, W, 3)."""
    positions = move(position_features(tuple(image.shape[:2]), xy, dtype), in_device(image, dtype))
    return torch.cat([positions, image.to(positions.device).flatten(0, 1).to(dtype) / rgb], 1)


def position_features(size: tuple[int, int], xy: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """Features (N, 2) of a kernel on positions, on the CPU: (x, y) / xy of the pixels of (H, W), in row-major order."""
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing='ij')
    return torch.stack([columns.flatten(), rows.flatten()], 1).to(dtype) / xy


def in_device(image: Tensor, dtype: torch.dtype) -> torch.device:
    """Where features of an image can be held in a type."""
    return in_float64(image[:0]).device if dtype == torch.float64 else image.device


def _separable(image: Tensor, xy: float) -> Callable[[Tensor], Tensor]:
    """The Gaussian kernel on positions: one matrix over rows, one over columns."""
    height, width = image.shape[:2]
    device = in_device(image, torch.float64)
    over_rows, over_columns = (_gaussian(torch.arange(side, dtype=torch.float64)[:, None] / xy).to(device)
                               for side in (height, width))

    def kernel(values: Tensor) -> Tensor:
        maps = values.view(height, width, -1)
        maps = torch.tensordot(over_rows, maps, 1)
        return torch.einsum('vx,hxc->hvc', over_columns, maps).reshape(values.shape)

    return kernel


def _all_pairs(features: Tensor) -> Callable[[Tensor], Tensor]:
    """The Gaussian kernel of features (N, d) by blocks of rows; a matrix that fits into a block is kept."""
    number = len(features)
    block = max(1, BLOCK_ENTRIES // number)
    whole = _gaussian(features) if number <= block else None

    def kernel(values: Tensor) -> Tensor:
        if whole is not None:
            return whole @ values
        return torch.cat([_gaussian(features[start:start + block], features) @ values
                          for start in range(0, number, block)])

    return kernel


def _gaussian(rows: Tensor, columns: Tensor | None = None) -> Tensor:
    """exp(-|a - b|^2 / 2) of features (n, d) and (m, d), float64."""
    columns = rows if columns is None else columns
    squares = rows.square().sum(1)[:, None] + columns.square().sum(1) - 2 * rows @ columns.T
    return squares.clamp_min_(0).mul_(-0.5).exp_()
