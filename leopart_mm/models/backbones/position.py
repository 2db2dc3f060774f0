"""Positions on a patch grid of any size: learned embeddings, resized, and rotations."""

import torch.nn.functional as F
from torch import Tensor, nn

POSITION_MODES = ('dino', 'timm')
# DINO adds this to the new grid before it computes the scale factor, as a guard against rounding. It shifts the
# sampling points slightly, so weights that were trained with it need it.
DINO_OFFSET = 0.1


def check_position_mode(mode: str) -> None:
    """Raise a ValueError that lists the allowed values if `mode` is none of `POSITION_MODES`."""
    if mode not in POSITION_MODES:
        raise ValueError(f"pos_interp='{mode}' is unknown. Allowed: 'dino' (DINO, DINOv2 without registers, Leopart "
                         "and NeCo: bicubic with scale factor (g + 0.1)/G), 'timm' (timm and DINOv2 with registers: "
                         'bicubic with antialias).')


def resize_positions(positions: Tensor,
                     stored_grid: tuple[int, int],
                     grid: tuple[int, int],
                     mode: str = 'dino') -> Tensor:
    """Resize patch position embeddings; equal grids return them as they are.

    Args:
        positions: (1, G_h*G_w, C), row-major.
        stored_grid: (G_h, G_w).
        grid: (h, w), the new grid.
        mode: 'dino': bicubic, sampled by the factor (g + 0.1)/G, no antialias (docs/methods/leopart.md §3; also NeCo
            and DINOv2 without registers). 'timm': bicubic with antialias, no offset (timm; also DINOv2 with registers).

    Returns:
        (1, h*w, C) in the dtype of `positions`; computed in float32.
    """
    check_position_mode(mode)
    if tuple(stored_grid) == tuple(grid):
        return positions
    image = positions.float().unflatten(1, stored_grid).permute(0, 3, 1, 2)
    if mode == 'dino':
        factors = tuple((g + DINO_OFFSET) / stored for g, stored in zip(grid, stored_grid, strict=True))
        image = F.interpolate(image, scale_factor=factors, mode='bicubic', align_corners=False)
    else:
        image = F.interpolate(image, size=grid, mode='bicubic', align_corners=False, antialias=True)
    return image.flatten(2).transpose(1, 2).to(positions.dtype)


def block_rotations(rope: nn.Module | None, grid: tuple[int, int], depth: int) -> list[Tensor | None]:
    """What rotates queries and keys in each block of a network.

    Args:
        rope: timm's rotary embedding; None for a network without one.
        grid: (h, w), the patch grid.
        depth: Number of blocks.

    Returns:
        For each block sines and cosines (h*w, 2 * head_dim), or (heads, h*w, 2 * head_dim) where each block and head
        has learned its own frequencies; or None.
    """
    if rope is None:
        return [None] * depth
    embedding = rope.get_embed(shape=list(grid))
    return list(embedding) if embedding.ndim == 4 else [embedding] * depth
