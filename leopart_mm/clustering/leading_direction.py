"""The leading eigenvector of many covariance matrices at once, by block power iteration."""

import torch
from torch import Tensor

from leopart_mm.devices import move

BLOCK = 8
FRESH = 4
"""Columns of a warm start that are drawn anew: a direction that the old block lacks must be able to take the lead."""
EXACT_BELOW = 48
"""Matrices of fewer channels are solved by `eigh`, which is as fast there."""
MIN_STEPS = 3
MAX_STEPS = 60
GPU_STEPS = 20
"""Steps on a GPU before the host asks which directions are found."""
SQUARINGS = 40
SHIFT = 1e-14
"""Share of the squared lengths that keeps a Cholesky factor of nearly dependent columns from failing."""


def start_block(channels: int, columns: int = BLOCK + FRESH) -> Tensor:
    """(C, columns) float64: where power iteration starts, the same numbers on every device and in every call."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(channels, columns, dtype=torch.float64, generator=generator)


def leading_directions(covariances: Tensor, warm: Tensor | None = None,
                       tolerance: float = 1e-9) -> tuple[Tensor, Tensor | None]:
    """Direction of largest variance of each of many covariance matrices.

    Block power iteration with Rayleigh-Ritz; each matrix stops by itself, so that its result does not depend on the
    others. What does not converge soon (no direction leads clearly) is solved by `eigh`. The sign is arbitrary. On a
    CUDA GPU all take the same number of steps, and the host asks once or twice which directions are found.
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
    if covariances.device.type == 'cuda':
        return _on_device(covariances, warm, tolerance)
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


def _on_device(covariances: Tensor, warm: Tensor | None, tolerance: float) -> tuple[Tensor, Tensor]:
    """`leading_directions` without a step that depends on values; what is not found then is solved by `eigh`."""
    block = warm
    if block is None:
        start = move(start_block(covariances.shape[-1], min(BLOCK + FRESH, covariances.shape[-1])), covariances.device)
        block = start.expand(len(covariances), -1, -1)
    for steps in (GPU_STEPS, MAX_STEPS - GPU_STEPS):
        directions, block, missing = power_steps(covariances, block, steps, tolerance)
        rows = [row for row, is_missing in enumerate(missing.tolist()) if is_missing]
        if not rows:
            return directions, block
    chosen = move(torch.tensor(rows), covariances.device)
    directions[chosen] = torch.linalg.eigh(covariances[chosen])[1][..., -1]
    return directions, block


def power_steps(covariances: Tensor, block: Tensor, steps: int, tolerance: float) -> tuple[Tensor, Tensor, Tensor]:
    """Steps of block power iteration, and the best direction in the block; the host waits for nothing.

    Args:
        covariances: (B, C, C) float64.
        block: (B, C, columns), linearly independent.
        steps: How many.
        tolerance: As for `leading_directions`.

    Returns:
        (B, C) unit directions; the block after the steps; and (B,) bool: which are not found within the tolerance.
    """
    for _ in range(steps):
        block = _orthonormal(covariances @ block)
    image = covariances @ block
    power = block.mT @ image  # of the block's coordinates; squared, its leading direction remains
    for _ in range(SQUARINGS):
        power = power / power.diagonal(dim1=1, dim2=2).sum(1).clamp(min=torch.finfo(power.dtype).tiny)[:, None, None]
        power = power @ power
    column = power.diagonal(dim1=1, dim2=2).argmax(1)[:, None, None].expand(-1, power.shape[1], 1)
    coordinates = power.gather(2, column)
    directions = torch.nn.functional.normalize((block @ coordinates)[..., 0], dim=1)
    products = (covariances @ directions[..., None])[..., 0]
    values = (products * directions).sum(1, keepdim=True)
    residual = torch.linalg.vector_norm(products - values * directions, dim=1)
    return directions, block, ~((residual <= tolerance * values[:, 0]) & (values[:, 0] > 0))


def _orthonormal(block: Tensor) -> Tensor:
    """Orthonormal columns of the same span, apart from what is rounding beside the longest (shifted Cholesky QR)."""
    products = block.mT @ block
    lengths = products.diagonal(dim1=1, dim2=2)
    lengths += SHIFT * lengths.sum(1, keepdim=True).clamp(min=torch.finfo(block.dtype).tiny / SHIFT)
    factor = torch.linalg.cholesky_ex(products).L
    return torch.linalg.solve_triangular(factor, block.mT, upper=False).mT
