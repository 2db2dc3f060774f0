"""PCA from a covariance matrix: exact over all features, memory C x C."""

import torch
from torch import Tensor

from leopart_mm.devices import in_float64


def principal_directions(covariance: Tensor, dim: int | None = None) -> tuple[Tensor, Tensor]:
    """Directions of largest variance.

    The sign of a direction is arbitrary; here its entry of largest size is positive (the first of several), so that
    the same data give the same directions on every machine.

    Args:
        covariance: (C, C), symmetric.
        dim: Number of directions; None keeps all C.

    Returns:
        Directions (dim, C), unit rows, and the variances along them (dim,), falling; both float64.

    Raises:
        ValueError: If `dim` is not in 1..C.
    """
    channels = len(covariance)
    dim = channels if dim is None else dim
    if not 1 <= dim <= channels:
        raise ValueError(f'pca_dim={dim} is impossible for features of {channels} channels: choose 1..{channels} '
                         '(or None for no PCA).')
    variances, vectors = torch.linalg.eigh(in_float64(covariance))
    directions = vectors.flip(1)[:, :dim].T.contiguous()
    peak = directions.abs().argmax(dim=1, keepdim=True)
    directions *= directions.gather(1, peak).sign()
    return directions, variances.flip(0)[:dim].contiguous()
