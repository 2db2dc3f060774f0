"""Cluster-based foreground extraction (CBFE): which clusters lie on a noisy foreground, and where to cut them.

Source: docs/methods/leopart.md §10 step 3. All five rules are here: 'chance', 'agreement' and 'otsu' read no label
(`RULES`), 'published' reads ground truth (`published_threshold`), and a number is its own threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from leopart_mm.clustering.counting import count_ids
from leopart_mm.devices import in_float64
from leopart_mm.late_checks import Check, check_at_once


@dataclass
class ForegroundCounts:
    """How much of each cluster lies inside the noisy masks, summed over images; fields are (K,) float64.

    Add the counts of batches and processes with `+`.

    Args:
        share: Sum over the images in which the cluster occurs of its share inside the mask.
        occurrences: Number of images in which the cluster occurs.
        inside: Pixels of the cluster inside the masks.
        size: Pixels of the cluster.
    """

    share: Tensor
    occurrences: Tensor
    inside: Tensor
    size: Tensor

    @classmethod
    def of_images(cls, inside: Tensor, size: Tensor) -> 'ForegroundCounts':
        """The counts of several images, from the (N, K) pixels of `cluster_sizes`."""
        return cls((inside / size.clamp(min=1)).sum(0), in_float64(size > 0).sum(0), inside.sum(0), size.sum(0))

    def __add__(self, other: 'ForegroundCounts') -> 'ForegroundCounts':
        return ForegroundCounts(self.share + other.share, self.occurrences + other.occurrences,
                                self.inside + other.inside, self.size + other.size)

    def cpu(self) -> 'ForegroundCounts':
        """The counts on the CPU."""
        return ForegroundCounts(self.share.cpu(), self.occurrences.cpu(), self.inside.cpu(), self.size.cpu())

    @property
    def precisions(self) -> Tensor:
        """(K,) mean share inside the mask over the images in which a cluster occurs; 0 if it occurs nowhere."""
        return self.share / self.occurrences.clamp(min=1)


def cluster_sizes(clusters: Tensor, foreground: Tensor, num_clusters: int,
                  weights: Tensor | None = None, check: Check = check_at_once) -> tuple[Tensor, Tensor]:
    """How large each cluster is in each image, inside the foreground and in all.

    Args:
        clusters: (N, ..., h, w) integer cluster ids.
        foreground: Masks of the same shape, 1 (or True) inside.
        num_clusters: K.
        weights: (..., h, w) number of pixels that each cell stands for, at least 0; None: 1.
        check: Who is told on a GPU how many ids are out of range; see `contingency_table`.

    Returns:
        Two (N, K) float64.

    Raises:
        ValueError: If a cluster id is not in 0..K-1.

    >>> inside, size = cluster_sizes(torch.tensor([[[0, 0, 2]]]), torch.tensor([[[1, 0, 1]]]), 3)
    >>> inside.tolist(), size.tolist()
    ([[1.0, 0.0, 1.0]], [[2.0, 0.0, 1.0]])
    """
    images = len(clusters)
    clusters = clusters.reshape(images, -1).long()
    if clusters.device.type == 'cuda':
        check(((clusters < 0) | (clusters >= num_clusters)).sum(),
              lambda number: f'Cluster ids must lie in 0..{num_clusters - 1}; {number} cells hold others.')
        clusters = clusters.clamp(0, num_clusters - 1)
    elif clusters.numel() and not 0 <= int(clusters.min()) <= int(clusters.max()) < num_clusters:
        raise ValueError(f'Cluster ids must lie in 0..{num_clusters - 1}; they reach from {int(clusters.min())} to '
                         f'{int(clusters.max())}.')
    image = torch.arange(images, device=clusters.device)[:, None]
    index = (image * num_clusters + clusters).reshape(-1)
    inside = in_float64(foreground.reshape(images, -1))
    index = index.to(inside.device)
    pixels = torch.ones_like(inside) if weights is None else weights.reshape(1, -1).to(inside).expand_as(inside)
    inside = count_ids(index, images * num_clusters, (inside * pixels).reshape(-1))
    size = count_ids(index, images * num_clusters, pixels.reshape(-1))
    return inside.view(images, num_clusters), size.view(images, num_clusters)


def chance_threshold(precisions: Tensor, inside: Tensor, size: Tensor) -> float:
    """The share of all pixels that the noisy masks cover: the expected precision of a cluster that ignores them.

    Clusters above it lie on the noisy foreground more often than by chance. The rule follows the masks: where these
    cover little (attention that sticks to a few patches), the clusters' precisions are low, and so is the cut.

    Args:
        precisions: (K,).
        inside: (K,) pixels of each cluster inside the noisy masks, over all images.
        size: (K,) pixels of each cluster.

    Returns:
        The threshold; at least one cluster reaches it.

    Raises:
        ValueError: If the noisy masks hold no pixel.

    >>> chance_threshold(torch.tensor([0.1, 0.5]), torch.tensor([6., 10.]), torch.tensor([60., 20.]))
    0.2
    """
    _sorted(precisions, inside, size)
    return float(torch.minimum(in_float64(inside).sum() / in_float64(size).sum(), in_float64(precisions).max()))


def agreement_threshold(precisions: Tensor, inside: Tensor, size: Tensor) -> float:
    """The precision at which the foreground clusters agree best with the noisy masks that the precisions come from.

    Of all cuts of the clusters in order of precision, the one with the largest Jaccard index between the union of the
    clusters above and the noisy masks, over all images together. It reads no mask of any class.

    Arguments and errors as in `chance_threshold`.

    Returns:
        Midway between the lowest precision above the cut and the highest below, so that rounding moves no cluster.
    """
    order, inside, size = _sorted(precisions, inside, size)
    above = inside.flip(0).cumsum(0).flip(0)
    outside = (size - inside).flip(0).cumsum(0).flip(0)
    agreement = above / (inside.sum() + outside)
    return _between(precisions[order], int(agreement.argmax()))


def otsu_threshold(precisions: Tensor, inside: Tensor, size: Tensor) -> float:
    """Otsu's cut: two groups of clusters, weighted by their pixels, whose mean precisions differ most.

    Arguments, result and errors as in `agreement_threshold`.
    """
    order, _, size = _sorted(precisions, inside, size)
    values, share = in_float64(precisions)[order], size / size.sum()
    below = share.cumsum(0)[:-1]
    moment = (share * values).cumsum(0)
    mean = moment[-1]
    # the variance between both groups; it is 0 where one of them is empty
    between = (mean * below - moment[:-1]).square() / (below * (1 - below)).clamp(min=1e-12)
    return _between(precisions[order], int(between.argmax()) + 1) if len(between) else float(values[0])


RULES = dict(chance=chance_threshold, agreement=agreement_threshold, otsu=otsu_threshold)


def _sorted(precisions: Tensor, inside: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    inside, size = in_float64(inside), in_float64(size)
    if not inside.sum() > 0:
        raise ValueError('No foreground: the noisy masks of all images are empty. Check the source of the masks (the '
                         "attention's mass, min_component, or the mask files).")
    order = torch.argsort(precisions, stable=True).to(inside.device)
    return order, inside[order], size[order]


def _between(ascending: Tensor, start: int) -> float:
    if start == 0:
        return float(ascending[0])
    return float((in_float64(ascending[start - 1]) + in_float64(ascending[start])) / 2)


def published_cuts(num_clusters: int, shares: Sequence[float] = (0.55, 0.75)) -> range:
    """Which cuts the published search tries: from position floor(shares[0] K) to floor(shares[1] K), the last excluded.

    A cut is the position of the first foreground cluster in rising order of precision.

    >>> published_cuts(20)
    range(11, 15)
    """
    return range(int(shares[0] * num_clusters), int(shares[1] * num_clusters))


def precision_ranks(precisions: Tensor) -> Tensor:
    """(..., K) int64: the position of every cluster in rising order of precision; ties: the lower id first.

    >>> precision_ranks(torch.tensor([0.9, 0.1, 0.5])).tolist()
    [2, 0, 1]
    """
    return precisions.argsort(dim=-1, stable=True).argsort(dim=-1)


def cut_agreement(position: Tensor, gt: Tensor, num_clusters: int) -> Tensor:
    """Jaccard index of the foreground of one image with its ground truth, for every cut at once.

    Args:
        position: (pixels,) int64, the rank of the cluster of each pixel (`precision_ranks`).
        gt: (pixels,) classes; non-zero is foreground (the boundary 255 too, as published).
        num_clusters: K.

    Returns:
        (K,) float64; entry i: clusters from position i on are foreground. 1 where there is no foreground at all.

    >>> cut_agreement(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 0, 7, 0]), 3).tolist()
    [0.25, 0.3333333333333333, 0.5]
    """
    real = gt != 0
    size = count_ids(position, num_clusters)
    both = count_ids(position, num_clusters, in_float64(real).to(position.device)) if real.device.type == 'cuda' else (
        torch.bincount(position[real], minlength=num_clusters))
    inside, both = (in_float64(counts.flip(0).cumsum(0).flip(0)) for counts in (size, both))
    either = inside + in_float64(real.sum()) - both
    return torch.where(either > 0, both / either.clamp(min=1), torch.ones_like(both))


def published_threshold(precisions: Tensor, agreement: Tensor, cuts: Sequence[int]) -> float:
    """The published rule, which reads ground truth: the precision at the best cut, rounded to a multiple of 0.05.

    Args:
        precisions: (K,).
        agreement: (len(cuts),) `cut_agreement` at `cuts`, summed or averaged over images.
        cuts: Positions of `published_cuts`; of equal agreement the first is taken.

    Raises:
        ValueError: If there is no cut.

    >>> published_threshold(torch.tensor([0.1, 0.48, 0.9]), torch.tensor([0.7, 0.4]), [1, 2])
    0.5
    """
    if not len(cuts):
        raise ValueError(f'There is no cut to choose from for {len(precisions)} clusters: take more clusters or wider '
                         'cuts.')
    best = in_float64(precisions).sort().values[cuts[int(agreement.argmax())]]
    return float((best / 0.05).round() * 0.05)
