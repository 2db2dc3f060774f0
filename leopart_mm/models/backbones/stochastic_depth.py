"""Stochastic depth with its random numbers drawn beforehand, for images of several sizes at once."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from timm.layers import DropPath
from torch import Tensor, nn

Shapes = tuple[tuple[int, int], ...]  # (images, tokens of each) of every size; the tokens of all lie one after another
DROP_PATH_MODES = ('mask', 'samples')


class Draw(NamedTuple):
    """What of a residual branch is kept.

    Attributes:
        scale: (rows, 1), what the branch's output is multiplied with; 0 where it is dropped.
        rows: (rows, ) tokens for which the branch is computed at all; None for all of them.
        shapes: Images and tokens of these rows; None for all of them.
    """

    scale: Tensor
    rows: Tensor | None = None
    shapes: Shapes | None = None


def check_drop_path_mode(mode: str) -> None:
    """Raise a ValueError that lists the allowed values if `mode` is none of `DROP_PATH_MODES`."""
    if mode not in DROP_PATH_MODES:
        raise ValueError(f"drop_path_mode={mode!r} is unknown. Allowed: 'mask' (the branch is computed for all images "
                         "and dropped of some), 'samples' (it is computed for the images that keep it only, as in "
                         'DINOv2).')


def drop_paths(block: nn.Module) -> tuple[nn.Module, nn.Module]:
    """The stochastic depth of a block's attention and of its MLP."""
    return block.drop_path1, block.drop_path2


def draws_of_blocks(blocks: Sequence[nn.Module], shapes: Shapes, device: torch.device,
                    mode: str = 'mask') -> list[tuple[Draw | None, Draw | None]]:
    """What each block keeps of its attention and of its MLP.

    The numbers are drawn size by size, block by block, so 'mask' draws exactly what timm draws if one size goes through
    all blocks after the other.

    Args:
        blocks: Blocks of timm with `drop_path1` and `drop_path2`.
        shapes: Images and tokens of each size.
        device: Of the tokens.
        mode: 'mask': each image keeps a branch with probability 1 - rate, and is scaled by its inverse. 'samples': of
            each size a random subset of max(1, floor((1 - rate) B)) of the B images is computed, and scaled by B over
            their number (`drop_add_residual_stochastic_depth` of DINOv2).

    Returns:
        For each block two draws; None where everything is kept.
    """
    paths = [path for block in blocks for path in drop_paths(block)]
    active = [isinstance(path, DropPath) and path.training and path.drop_prob > 0 for path in paths]
    draw = _mask if mode == 'mask' else _subset
    parts = [[draw(path, images, device) if one else None for path, one in zip(paths, active, strict=True)]
             for images, _ in shapes]
    join = _joined_masks if mode == 'mask' else _joined_subsets
    draws = [join([part[index] for part in parts], shapes) if one else None for index, one in enumerate(active)]
    return list(zip(draws[::2], draws[1::2], strict=True))


def _mask(path: DropPath, images: int, device: torch.device) -> Tensor:
    """(images, ), as timm's `drop_path` draws it."""
    keep = 1 - path.drop_prob
    mask = torch.empty(images, device=device).bernoulli_(keep)
    return mask.div_(keep) if keep > 0 and path.scale_by_keep else mask


def _joined_masks(masks: list[Tensor], shapes: Shapes) -> Draw:
    rows = [mask[:, None].expand(-1, tokens).flatten() for mask, (_, tokens) in zip(masks, shapes, strict=True)]
    return Draw(torch.cat(rows)[:, None])


def _subset(path: DropPath, images: int, device: torch.device) -> Tensor:
    """The images that keep the branch, in random order; their number does not depend on the draw."""
    kept = max(1, int(images * (1 - path.drop_prob) + 1e-6))  # timm's rates are rounded to float32
    return torch.randperm(images, device=device)[:kept]


def _joined_subsets(subsets: list[Tensor], shapes: Shapes) -> Draw:
    rows, scales, kept, start = [], [], [], 0
    for subset, (images, tokens) in zip(subsets, shapes, strict=True):
        places = torch.arange(start, start + tokens, device=subset.device)
        rows.append((subset[:, None] * tokens + places).flatten())
        scales.append(torch.full((len(rows[-1]), 1), images / len(subset), device=subset.device))
        kept.append((len(subset), tokens))
        start += images * tokens
    return Draw(torch.cat(scales), torch.cat(rows), tuple(kept))
