"""Cluster-based foreground extraction: which clusters lie on a noisy foreground.

Source: docs/methods/leopart.md §10 step 3.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class ThresholdSplit:
    """A cut of the clusters, sorted by precision: those from position `start` on are foreground.

    Args:
        start: Position of the first foreground cluster in rising order of precision.
        precision: Precision of that cluster.
        jaccard: Mean Jaccard index of this foreground with the ground truth.
    """

    start: int
    precision: float
    jaccard: float


def image_precisions(clusters: Tensor, foreground: Tensor, num_clusters: int,
                     weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sum over images of each cluster's share inside the noisy foreground, and in how many images it occurs.

    Args:
        clusters: (N, ..., h, w) integer cluster ids.
        foreground: The same shape, 1 (or True) inside.
        num_clusters: K.
        weights: (..., h, w) how many pixels each cell stands for, at least 0; None: one.

    Returns:
        (K,) float64 and (K,) int64; add those of batches, divide for the precision.
    """
    inside, size = cluster_sizes(clusters, foreground, num_clusters, weights)
    return (inside / size.clamp(min=1)).sum(0), (size > 0).sum(0)


def cluster_sizes(clusters: Tensor, foreground: Tensor, num_clusters: int,
                  weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """How large each cluster is in each image, inside the foreground and in all; two (N, K) float64.

    Arguments as in `image_precisions`.
    """
    images = len(clusters)
    clusters = clusters.reshape(images, -1).long()
    image = torch.arange(images, device=clusters.device)[:, None]
    index = (image * num_clusters + clusters).reshape(-1)
    inside = foreground.reshape(images, -1).double()
    pixels = torch.ones_like(inside) if weights is None else weights.reshape(1, -1).to(inside).expand_as(inside)
    inside = torch.bincount(index, weights=(inside * pixels).reshape(-1), minlength=images * num_clusters)
    size = torch.bincount(index, weights=pixels.reshape(-1), minlength=images * num_clusters)
    return inside.view(images, num_clusters), size.view(images, num_clusters)


def cluster_precisions(clusters: Tensor, foreground: Tensor, num_clusters: int) -> Tensor:
    """Mean over the images where a cluster occurs of its share inside the noisy foreground, (K,) float64.

    A cluster that occurs nowhere has precision 0. Shapes as in `image_precisions`.
    """
    total, occurrences = image_precisions(clusters, foreground, num_clusters)
    return total / occurrences.clamp(min=1)


def jaccard(pred: Tensor, gt: Tensor, boundary: str = 'foreground') -> float:
    """Mean over images of the Jaccard index of two foreground masks.

    Args:
        pred: (N, ..., h, w), non-zero is foreground.
        gt: The same shape, classes; non-zero is foreground. 255 marks object boundaries.
        boundary: What 255 is: 'foreground' or 'background' (the two published values), or 'ignore' to leave it out.

    Returns:
        The mean; an image with neither counts 1.

    Raises:
        ValueError: `boundary` is unknown.
    """
    if boundary not in ('foreground', 'background', 'ignore'):
        raise ValueError(f"boundary={boundary!r} is unknown: 'foreground', 'background' or 'ignore'.")
    pred, gt = pred.flatten(1), gt.flatten(1)
    inside, truth = pred != 0, gt != 0
    if boundary != 'foreground':
        truth = truth & (gt != 255)
    if boundary == 'ignore':
        inside = inside & (gt != 255)
    both = (inside & truth).sum(1).double()
    either = (inside | truth).sum(1).double()
    return float(torch.where(either > 0, both / either.clamp(min=1), torch.ones_like(both)).mean())


def cut_agreement(position: Tensor, gt: Tensor, num_clusters: int) -> Tensor:
    """`jaccard` of one image for every cut at once, (K,) float64; entry i: clusters from position i on are foreground.

    Args:
        position: (pixels,) int64, of each pixel's cluster in rising order of precision.
        gt: (pixels,) classes; non-zero is foreground (boundary 255 too).
        num_clusters: K.
    """
    real = gt != 0
    size = torch.bincount(position, minlength=num_clusters)
    both = torch.bincount(position[real], minlength=num_clusters)
    inside, both = (counts.flip(0).cumsum(0).flip(0).double() for counts in (size, both))
    either = inside + int(real.sum()) - both
    return torch.where(either > 0, both / either.clamp(min=1), torch.ones_like(both))


def published_splits(precisions: Tensor, clusters: Tensor, gt: Tensor, low: float = 0.55,
                     high: float = 0.75) -> list[ThresholdSplit]:
    """Every cut of the published threshold search, worst Jaccard first. It looks at the ground truth.

    Args:
        precisions: (K,) of `cluster_precisions`.
        clusters: (N, ..., h, w).
        gt: The same shape, classes; non-zero is foreground (boundary 255 too).
        low, high: Cuts from floor(low * K) to floor(high * K), the last excluded.
    """
    num_clusters = len(precisions)
    order = torch.argsort(precisions, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(num_clusters, device=order.device)
    position = rank[clusters.long()]
    splits = [ThresholdSplit(start, float(precisions[order[start]]), jaccard(position >= start, gt))
              for start in range(int(low * num_clusters), int(high * num_clusters))]
    return sorted(splits, key=lambda split: split.jaccard)
