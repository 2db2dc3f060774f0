"""Centred kernel alignment (CKA) with linear kernels: how alike two sets of vectors relate to each other.

Source: docs/methods/paka.md; the statistic is that of Kornblith et al., https://arxiv.org/abs/1905.00414.
"""

import torch
from torch import Tensor

# A spread below this share of the vectors' length is rounding: they are one vector, which aligns with nothing.
CONSTANT = 1e-5
EPSILON = 1e-12  # of the product of two squared norms, which are 1 / min(n, d)^2 or more unless vectors are constant


def linear_cka(a: Tensor, b: Tensor, counts: Tensor | None = None) -> Tensor:
    """CKA of vectors with the same places in two spaces, <HKH, HLH> / (|HKH| |HLH|), K = a a^T, L = b b^T.

    It is 1 if the centred vectors differ by a scale and a rotation, and it stays the same if either set is scaled,
    rotated or shifted. Vectors that are all alike, or fewer than two, give 0 and no gradient. The products are of size
    n x n or d x d, whichever is cheaper; both give the same number.

    Args:
        a: (..., n, d) float32.
        b: (..., n, e), likewise.
        counts: (..., n) bool, the vectors that count; None if all do.

    Returns:
        (...), 0 to 1 but for rounding.
    """
    a, b = (centred(vectors, counts) for vectors in (a, b))
    n, d, e = a.shape[-2], a.shape[-1], b.shape[-1]
    product = covariance_products if d * d + e * e + d * e < n * (d + e) else gram_products
    ab, aa, bb = product(a, b)
    return ab / (aa * bb).clamp(min=EPSILON).sqrt()


def centred(vectors: Tensor, counts: Tensor | None = None) -> Tensor:
    """Vectors (..., n, d) less their mean, with a sum of squares of 1; those that do not count are 0.

    So small and large vectors are as exact as others, and constant ones have no gradient but that of rounding.
    """
    if counts is None:
        kept, mean = vectors, vectors.mean(-2, keepdim=True)
        differences = vectors - mean
    else:
        weights = counts.to(vectors.dtype).unsqueeze(-1)
        kept = vectors * weights
        mean = kept.sum(-2, keepdim=True) / weights.sum(-2, keepdim=True).clamp(min=1)
        differences = (vectors - mean) * weights
    smallest = kept.detach().square().sum((-2, -1), keepdim=True) * CONSTANT**2
    size = differences.square().sum((-2, -1), keepdim=True)
    return differences / torch.maximum(size, smallest).clamp(min=torch.finfo(size.dtype).tiny).sqrt()


def gram_products(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """<K, L>, <K, K> and <L, L> of the n x n matrices K = a a^T and L = b b^T."""
    K, L = a @ a.mT, b @ b.mT
    return (K * L).sum((-2, -1)), K.square().sum((-2, -1)), L.square().sum((-2, -1))


def covariance_products(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same from the d x e, d x d and e x e matrices: <a a^T, b b^T> = |a^T b|^2."""
    return tuple((x.mT @ y).square().sum((-2, -1)) for x, y in ((a, b), (a, a), (b, b)))


def relative_spread(vectors: Tensor, weights: Tensor) -> Tensor:
    """Share of variance in the mean square of vectors, 0 (all alike) to 1.

    Args:
        vectors: (..., n, d).
        weights: (..., n), not negative.

    Returns:
        (...), 0 where nothing has a weight.
    """
    weights = weights / weights.sum(-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    mean = (vectors * weights.unsqueeze(-1)).sum(-2)
    square = (vectors.square().sum(-1) * weights).sum(-1)
    share = 1 - mean.square().sum(-1) / square.clamp(min=torch.finfo(square.dtype).tiny)
    return torch.where(square > 0, share, 0.).clamp(min=0)
