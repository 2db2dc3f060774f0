"""Directions in which dense features tell where in the image they lie, and features without them.

Two ways to find them: a black image shows nothing but places (INSID3, https://arxiv.org/abs/2603.28480), and places can
be regressed on features (RASA, in Franca, https://arxiv.org/abs/2507.14137). Source: docs/methods/debias.md.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from leopart_mm.clustering.moments import Moments
from leopart_mm.clustering.pca import principal_directions
from leopart_mm.devices import in_float64

NONE = 1e-10  # share of the largest variance or length below which a direction is rounding


def remove_directions(features: Tensor, basis: Tensor) -> Tensor:
    """Features (B, C, h, w) less their parts along orthonormal directions (C, r); columns of zeros remove nothing."""
    basis = basis.to(features.dtype)
    coordinates = torch.einsum('bchw,cr->brhw', features, basis)
    return features - torch.einsum('brhw,cr->bchw', coordinates, basis)


def black_image_basis(features: Tensor, rank: int) -> Tensor:
    """The directions in which the features of a black image differ.

    Unit vectors, less their mean; of these the leading left singular vectors of the C x n matrix.

    Args:
        features: (n, C), those of all cells of a black image.
        rank: Number of directions r, 1 to C - 1.

    Returns:
        (C, r) float32, orthonormal columns; those that the n cells do not fill are 0.

    Raises:
        ValueError: If features are not finite, or `rank` is out of range.
    """
    channels = features.shape[1]
    if not 0 < rank < channels:
        raise ValueError(f'rank={rank} is impossible for features of {channels} channels: choose 1..{channels - 1}.')
    moments = Moments()
    moments.update(F.normalize(in_float64(features), dim=1))
    directions, variances = principal_directions(moments.covariance(), rank)
    # Below, unit vectors differ by rounding of float32 only.
    filled = variances > max(NONE * float(variances[0]), torch.finfo(torch.float32).eps**2)
    return (directions * filled[:, None]).T.float().contiguous()


def cell_places(grid: tuple[int, int], device: torch.device | str = 'cpu') -> Tensor:
    """(h, w, 2): row and column of the centres of a grid's cells, 0 to 1.

    >>> cell_places((1, 2)).tolist()
    [[[0.5, 0.25], [0.5, 0.75]]]
    """
    rows, columns = ((torch.arange(cells, device=device) + 0.5) / cells for cells in grid)
    return torch.stack(torch.meshgrid(rows, columns, indexing='ij'), -1)


def position_basis(covariance: Tensor, rank: int, ridge: float = 1e-3) -> tuple[Tensor, list[float]]:
    """The directions along which row and column can be read off features, found by repeated regression.

    Each step regresses both on what is left of the features, makes the two weight vectors orthonormal (Gram-Schmidt)
    and takes them out. All steps follow from the covariance, so the features are read once.

    Args:
        covariance: (C + 2, C + 2), of the features and, last, of row and column.
        rank: Number of directions, two a step: even, 2 to C - 1.
        ridge: Share of the mean variance of a channel that is added to all variances.

    Returns:
        (C, rank) float32, orthonormal columns; 0 where nothing is left to be read off. And R² of the regression before
        the first step and after each: rank / 2 + 1 numbers.

    Raises:
        ValueError: If `rank` is odd or out of range.
    """
    covariance = in_float64(covariance).cpu()
    channels = len(covariance) - 2
    if rank % 2 or not 0 < rank < channels:
        raise ValueError(f'rank={rank} is impossible: two directions are taken out per step, of features of '
                         f'{channels} channels; choose an even number in 2..{channels - 1}.')
    features, cross, places = covariance[:-2, :-2], covariance[:-2, -2:], covariance[-2:, -2:]
    jitter = ridge * features.diagonal().mean().clamp(min=torch.finfo(features.dtype).tiny)
    basis = features.new_zeros(channels, rank)
    explained = []
    for step in range(rank // 2 + 1):
        left = torch.eye(channels, dtype=features.dtype) - basis @ basis.T
        rest, told = left @ features @ left, left @ cross
        weights = torch.linalg.solve(rest + jitter * torch.eye(channels, dtype=features.dtype), told)
        gain = 2 * (weights * told).sum() - (weights * (rest @ weights)).sum()
        explained.append(float(gain / places.diagonal().sum().clamp(min=torch.finfo(places.dtype).tiny)))
        if step == 0:
            smallest = NONE * weights.norm()
        for axis in range(2) if step < rank // 2 else ():
            basis[:, 2 * step + axis] = _orthogonal(weights[:, axis], basis, smallest)
    return basis.float(), explained


def _orthogonal(vector: Tensor, basis: Tensor, smallest: Tensor) -> Tensor:
    """The unit vector of what of `vector` is orthogonal to a basis; 0 if that is shorter than `smallest`."""
    for _ in range(2):  # twice is enough against rounding
        vector = vector - basis @ (basis.T @ vector)
    length = vector.norm()
    return vector / length if length > smallest else torch.zeros_like(vector)
