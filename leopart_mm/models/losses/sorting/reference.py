"""The readable reference of NeCo's sort: differentiable sorting in plain operations under autograd.

Training runs `sorted_cross_entropy`, which computes the same numbers faster and in little memory; tests, goldens and
benchmarks compare it with the definition here. Of this file training uses `similarities` only.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from leopart_mm.models.losses.sorting.networks import SortingNetwork
from leopart_mm.models.losses.sorting.relaxations import RELAXATIONS, check_relaxation

SIMILARITIES = ('cosine', 'euclidean')
NORM_EPS = 1e-12


def soft_sort(values: Tensor, network: SortingNetwork, steepness: float,
              relaxation: str = 'cauchy') -> tuple[Tensor, Tensor]:
    """Sort rows softly, smallest first (docs/methods/neco.md §4.2; Petersen et al., Differentiable Sorting Networks).

    Args:
        values: (..., n).
        network: A network for n values.
        steepness: s > 0; towards infinity the sort becomes a hard one.
        relaxation: A name of `RELAXATIONS`.

    Returns:
        The sorted values (..., n), and P (..., n items, n ranks), whose rows and columns sum to 1: P[i, j] says how
        much value i is at rank j, and sorted = values @ P.

    Raises:
        ValueError: If the network is not for n values, or the relaxation is unknown.
    """
    size = values.shape[-1]
    if size != network.size:
        raise ValueError(f'{size} values to sort, but the network sorts {network.size}')
    check_relaxation(relaxation)
    order = RELAXATIONS[relaxation].order
    matrix = torch.eye(size, dtype=values.dtype, device=values.device).expand(*values.shape, size)
    for layer in network.layers:
        lo, hi = [pair[0] for pair in layer], [pair[1] for pair in layer]
        alpha = order(values[..., hi] - values[..., lo], steepness)
        values = _compared(values, lo, hi, alpha)
        matrix = _compared(matrix, lo, hi, alpha.unsqueeze(-2))
    ranks = list(network.ranks)
    return values[..., ranks], matrix[..., ranks]


def _compared(values: Tensor, lo: list[int], hi: list[int], alpha: Tensor) -> Tensor:
    """Mix the entries `lo` and `hi` of the last dimension."""
    low, high = values[..., lo], values[..., hi]
    values = values.clone()
    values[..., lo] = alpha * low + (1 - alpha) * high
    values[..., hi] = (1 - alpha) * low + alpha * high
    return values


def similarities(queries: Tensor, references: Tensor, kind: str = 'cosine') -> Tensor:
    """Similarity of every query with every reference of the same batch entry, in float32 or better.

    Source: docs/methods/neco.md §3.4.

    Args:
        queries: (..., a, C).
        references: (..., n, C). A vector of zeros has cosine 0.
        kind: 'cosine', or 'euclidean': the plain distance, small where vectors are alike.

    Returns:
        (..., a, n).
    """
    if kind not in SIMILARITIES:
        raise ValueError(f'similarity={kind!r} is unknown; choose one of {SIMILARITIES}')
    with torch.autocast(queries.device.type, enabled=False):
        # Steepness multiplies rounding errors, so half precision will not do.
        queries, references = (
            vectors.float() if vectors.dtype.itemsize < 4 else vectors for vectors in (queries, references))
        if kind == 'euclidean':
            return torch.cdist(queries, references, compute_mode='donot_use_mm_for_euclid_dist')
        return F.normalize(queries, dim=-1, eps=NORM_EPS) @ F.normalize(references, dim=-1, eps=NORM_EPS).mT


def permutation_cross_entropy(student: Tensor, teacher: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of permutation matrices (docs/methods/neco.md §3.5).

    Args:
        student: (..., n, n) soft permutation matrices P. Their logarithm is clamped at the smallest normal number.
        teacher: (..., n, n) Q.
        weights: (...), not negative; the result is the weighted mean, 0 if all weights are 0. None for the plain mean.
    """
    floor = torch.finfo(student.dtype).tiny
    entropy = -(teacher * student.clamp(min=floor).log()).sum((-2, -1)) / student.shape[-1]
    if weights is None:
        return entropy.mean()
    total = weights.sum()
    return (entropy * weights).sum() / torch.where(total > 0, total, 1)
