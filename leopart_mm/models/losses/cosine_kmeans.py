"""Batch-wise cosine k-means: every cell pulls the prototype that is nearest to it."""

import torch
from torch import Tensor

from leopart_mm.devices import in_float64
from leopart_mm.models.losses.shares import joint_mean


def cosine_kmeans_loss(scores: Tensor) -> Tensor:
    """Minus the mean over all cells of their largest score (docs/methods/primaps.md §7).

    Args:
        scores: (B, K, h, w) cosines of cells with prototypes.

    Returns:
        Scalar float64 (the sum is exact over many cells; published too); the assignment is a constant in its gradient.
        With several processes it is this process's share, see `joint_mean`.
    """
    best = scores.gather(1, scores.detach().argmax(1, keepdim=True))
    return -joint_mean(in_float64(best).sum(), torch.tensor(best.numel(), device=best.device))
