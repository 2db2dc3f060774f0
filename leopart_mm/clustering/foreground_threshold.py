"""Where to cut clusters, sorted by precision, into background and foreground, without any label."""

import torch
from torch import Tensor


def chance_threshold(precisions: Tensor, inside: Tensor, size: Tensor) -> float:
    """The share of all pixels that the noisy masks cover: what a cluster that ignores them would have as precision.

    Clusters above it lie on the noisy foreground more often than by chance. The rule follows the masks: where these
    cover little (attention that sticks to a few patches), the clusters' precisions are low, and so is the cut.

    Args:
        precisions: (K,).
        inside: (K,) pixels of each cluster inside the noisy masks, over all images.
        size: (K,) pixels of each cluster.

    Returns:
        The threshold; at least one cluster reaches it.

    Raises:
        ValueError: The noisy masks hold no pixel.
    """
    _sorted(precisions, inside, size)
    return float(torch.minimum(inside.double().sum() / size.double().sum(), precisions.double().max()))


def agreement_threshold(precisions: Tensor, inside: Tensor, size: Tensor) -> float:
    """The precision at which the foreground clusters agree best with the noisy masks that the precisions come from.

    Of all cuts of the clusters in order of precision, the one of largest Jaccard index between the union of the
    clusters above and the noisy masks, over all images together. Sees no mask of any class.

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
    values, share = precisions[order].double(), size / size.sum()
    below = share.cumsum(0)[:-1]
    moment = (share * values).cumsum(0)
    mean = moment[-1]
    # the variance between both groups; it is 0 where one of them is empty
    between = (mean * below - moment[:-1]).square() / (below * (1 - below)).clamp(min=1e-12)
    return _between(precisions[order], int(between.argmax()) + 1) if len(between) else float(values[0])


RULES = dict(chance=chance_threshold, agreement=agreement_threshold, otsu=otsu_threshold)


def _sorted(precisions: Tensor, inside: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    inside, size = inside.double(), size.double()
    if not inside.sum() > 0:
        raise ValueError('No foreground: the noisy masks of all images are empty. Check the source of the masks (the '
                         "attention's mass, min_component, or the mask files).")
    order = torch.argsort(precisions, stable=True)
    return order, inside[order], size[order]


def _between(ascending: Tensor, start: int) -> float:
    if start == 0:
        return float(ascending[0])
    return float((ascending[start - 1].double() + ascending[start].double()) / 2)
