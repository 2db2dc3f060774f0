"""The leading eigenvector of many covariance matrices at once, by block power iteration."""

import torch
from torch import Tensor

BLOCK = 8
FRESH = 4
"""Columns of a warm start that are drawn anew: a direction that the old block lacks must be able to take the lead."""
EXACT_BELOW = 48
"""Matrices of fewer channels are solved by `eigh`, which is as fast there."""
MIN_STEPS = 3
MAX_STEPS = 60


def start_block(channels: int, columns: int = BLOCK + FRESH) -> Tensor:
    """(C, columns) float64: where power iteration starts, the same numbers on every device and in every call."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(channels, columns, dtype=torch.float64, generator=generator)


def leading_directions(covariances: Tensor, warm: Tensor | None = None,
                       tolerance: float = 1e-9) -> tuple[Tensor, Tensor | None]:
    """Direction of largest variance of each of many covariance matrices.

    Block power iteration with Rayleigh-Ritz; each matrix stops by itself, so that its result does not depend on the
    others. What does not converge soon (no direction leads clearly) is solved by `eigh`. The sign is arbitrary.
    Source: docs/methods/primaps.md §18.

    Args:
        covariances: (B, C, C) float64, symmetric, not negative; any scale.
        warm: (B, C, BLOCK), the blocks of a call with similar matrices, which saves steps. None: a fixed start.
        tolerance: Residual at which a direction is found, relative to the eigenvalue.

    Returns:
        (B, C) unit directions, and blocks (B, C, BLOCK) for a later warm start; None where C is so small that
        nothing is iterated.
    """
    channels = covariances.shape[-1]
    if channels < EXACT_BELOW:
        return torch.linalg.eigh(covariances)[1][..., -1], None
    fresh = start_block(channels, BLOCK + FRESH if warm is None else FRESH).to(covariances)
    fresh = fresh.expand(len(covariances), -1, -1)
    block = torch.linalg.qr(fresh if warm is None else torch.cat([warm, fresh], 2))[0]
    directions = torch.empty_like(covariances[:, 0])
    blocks = torch.empty_like(block[..., :BLOCK])
    index = torch.arange(len(covariances), device=covariances.device)
    open_ = torch.ones_like(index, dtype=torch.bool)  # of the matrices that are still held
    for step in range(MAX_STEPS):
        image = covariances @ block
        values, rotation = torch.linalg.eigh(block.mT @ image)
        block, image = block @ rotation, image @ rotation
        residual = torch.linalg.vector_norm(image[..., -1] - values[:, -1:] * block[..., -1], dim=1)
        done = open_ & (residual <= tolerance * values[:, -1].clamp(min=0)) & (step + 1 >= MIN_STEPS)
        if done.any():
            directions[index[done]], blocks[index[done]] = block[done][..., -1], block[done][..., -BLOCK:]
            open_ = open_ & ~done
            left = int(open_.sum())
            if not left:
                return directions, blocks
            if 2 * left <= len(open_):  # copying the rest pays
                covariances, block, image, index = (part[open_] for part in (covariances, block, image, index))
                open_ = open_[open_]
        block = torch.linalg.qr(image)[0]
    vectors = torch.linalg.eigh(covariances[open_])[1]
    directions[index[open_]], blocks[index[open_]] = vectors[..., -1], vectors[..., -BLOCK:]
    return directions, blocks
