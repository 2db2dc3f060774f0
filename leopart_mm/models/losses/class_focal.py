"""Cross-entropies over pixels: weighted per class by the batch's confidence (PriMaPs-EM), and plain (linear probe)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from leopart_mm.models.losses.shares import check_divisor, joint_mean, sum_over_processes

IGNORE = 255


@torch.no_grad()
def focal_class_weights(log_probs: Tensor, gamma: float) -> Tensor:
    """Weight of each class: (1 - mean probability)^gamma, the mean over all pixels of all processes.

    Source: docs/methods/primaps.md §8.

    Args:
        log_probs: (B, K, H, W) log-softmax of the logits. Pixels without a label count too.
        gamma: Exponent, at least 0; 0 gives weights of 1.

    Returns:
        (K,).
    """
    probs = log_probs.exp().sum((0, 2, 3))
    pixels = log_probs.new_tensor([log_probs[:, 0].numel()])
    total = sum_over_processes(torch.cat([probs, pixels]))
    return (1 - total[:-1] / total[-1]).clamp(min=0) ** gamma


def class_focal_loss(logits: Tensor, labels: Tensor, gamma: float = 2., divisor: str = 'labelled',
                     ignore: int = IGNORE) -> Tensor:
    """Cross-entropy weighted per class by how little of the batch the class has (docs/methods/primaps.md §8).

    Args:
        logits: (B, K, H, W).
        labels: (B, H, W) int64 in 0..K-1, or `ignore`.
        gamma: Exponent of the weights, see `focal_class_weights`.
        divisor: 'labelled': the sum over labelled pixels is divided by their number; 'all': by that of all pixels, as
            published, so that the loss shrinks with the share of ignored pixels.
        ignore: Label of pixels that do not count.

    Returns:
        Scalar; 0 where no pixel has a label. With several processes it is this process's share, see `joint_mean`.
    """
    log_probs = F.log_softmax(logits.float(), dim=1)
    return _mean(log_probs, labels, focal_class_weights(log_probs, gamma), divisor, ignore)


def pixel_cross_entropy(logits: Tensor, labels: Tensor, divisor: str = 'labelled', ignore: int = IGNORE) -> Tensor:
    """Cross-entropy of the linear probe (docs/methods/primaps.md §9); arguments as in `class_focal_loss`."""
    return _mean(F.log_softmax(logits.float(), dim=1), labels, None, divisor, ignore)


def _mean(log_probs: Tensor, labels: Tensor, weights: Tensor | None, divisor: str, ignore: int) -> Tensor:
    check_divisor(divisor)
    total = F.nll_loss(log_probs, labels, weights, reduction='sum', ignore_index=ignore)
    count = (labels != ignore).sum() if divisor == 'labelled' else torch.tensor(labels.numel(), device=labels.device)
    return joint_mean(total, count)
