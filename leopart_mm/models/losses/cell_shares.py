"""Which of the aligned cells count in a loss over crop pairs, and how much."""

import math

import torch
import torch.distributed as dist
from torch import Tensor
from torchvision.ops import roi_align

from leopart_mm.geometry.crop_pairs import CropPairs
from leopart_mm.masks.attention import attention_foreground

MASKS = ('all', 'fg', 'bg')
# A fully covered cell may come out a little below 1.
MASK_THRESHOLD = 1 - 1e-4


def attention_mask(kind: str, attention: Tensor | None, grid: tuple[int, int], **mask_cfg) -> Tensor | None:
    """The cells of the global crops that count.

    Args:
        kind: 'all', 'fg' or 'bg'.
        attention: (T, B, h·w) class-token attention averaged over heads; not needed for 'all'.
        grid: (h, w).
        mask_cfg: Arguments of `attention_foreground`.

    Returns:
        (T, B, h·w) of 0 and 1, or None for 'all'.

    Raises:
        ValueError: If masks are in use and there is no attention.
    """
    if kind == 'all':
        return None
    if attention is None:
        raise ValueError(f'mask={kind!r} needs the class-token attention of the teacher')
    mask = attention_foreground(attention.reshape(-1, 1, *grid), **mask_cfg).view_as(attention)
    return mask if kind == 'fg' else 1 - mask


def aligned_mask(mask: Tensor, pairs: CropPairs, grid: tuple[int, int], threshold: float = MASK_THRESHOLD) -> Tensor:
    """Masks (T, B, h·w) of the global crops -> (P, B, k·k) bool: cells whose aligned mask reaches the threshold."""
    if threshold < 1:
        return pairs.align_teacher(mask.unsqueeze(-1).unbind(), grid).squeeze(-1) >= threshold
    return torch.cat([
        align_by_torchvision(crop_mask, pairs.teacher_boxes(crop), pairs, crop, grid)
        for crop, crop_mask in enumerate(mask)
    ]) >= threshold


def align_by_torchvision(mask: Tensor, boxes: Tensor, pairs: CropPairs, crop: int, grid: tuple[int, int]) -> Tensor:
    """Mask (B, h·w) of the global crop `crop` and boxes (B, m, 4) in its cells -> (m, B, k·k).

    Whether a sum of weights rounds to exactly 1 depends on the kernel; the published threshold of 1 needs this one.
    """
    aligned = roi_align(mask.view(-1, 1, *grid), list(boxes), pairs.kernel, aligned=True)
    aligned = aligned.view(*boxes.shape[:2], pairs.kernel, pairs.kernel)
    if pairs.flipped is not None:
        aligned = torch.where(pairs.flipped[:, crop, None, None, None], aligned.flip(-1), aligned)
    return aligned.flatten(2).transpose(0, 1)


def cell_shares(counts: Tensor | None, cells: Tensor, distributed: bool = True) -> Tensor:
    """The share of every cell in the loss, so that all pairs weigh alike and, in a pair, all cells that count.

    Args:
        counts: (P, B, k·k) bool, the cells that count; None if all of them do.
        cells: (P, B, k·k, ...), whatever the cells hold.
        distributed: Whether the batches of all processes are treated as one.

    Returns:
        (P, B, k·k) in the type of `cells`. They sum to 1 over the mean of all processes (DDP averages gradients), less
        the pairs without any cell, which add nothing.
    """
    if counts is None:
        shape = cells.shape[:3]
        return cells.new_full(shape, 1 / math.prod(shape))
    counts = counts.to(cells.dtype)
    total, world = counts.sum((1, 2), keepdim=True), 1
    if distributed and dist.is_available() and dist.is_initialized():
        world = dist.get_world_size()
        dist.all_reduce(total)
    return counts * (world / len(counts)) / total.clamp(min=1)
