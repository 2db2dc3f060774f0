"""Cross-entropy over the hardest pixels of a batch (docs/methods/maskdistill.md §8.4)."""

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, get_rank, get_world_size
from torch import Tensor, nn

from leopart_mm.models.losses.class_focal import IGNORE
from leopart_mm.models.losses.shares import sum_over_processes
from leopart_mm.registry import MODELS


def ohem_cross_entropy(logits: Tensor, labels: Tensor, share: float = 0.2, ignore: int = IGNORE,
                       joint: bool = True) -> Tensor:
    """Mean cross-entropy of the m pixels with the largest one.

    m = min(trunc(share * all pixels), pixels with a label): ignored pixels count for the share, but are never chosen.

    Args:
        logits: (B, K, H, W).
        labels: (B, H, W) int64 in 0..K-1, or `ignore`.
        share: In 0..1.
        ignore: Label of pixels that do not count.
        joint: Choose among the pixels of all processes, so that their number does not matter; else among those of
            this process, as published.

    Returns:
        Scalar; 0 where no pixel has a label. Of several processes it is this one's part: the mean over the processes
        is the joint loss.
    """
    losses = F.cross_entropy(logits.float(), labels, reduction='none', ignore_index=ignore)[labels != ignore]
    joint = joint and get_world_size() > 1
    counts = torch.tensor([labels.numel(), losses.numel()], device=labels.device)
    pixels, valid = (sum_over_processes(counts) if joint else counts).tolist()
    chosen = min(int(share * pixels), valid)
    if chosen == 0:
        return logits.float().sum() * 0  # all parameters get a gradient
    hardest = losses.topk(min(chosen, losses.numel()), sorted=False).values
    if joint:
        hardest = _among_all(hardest, chosen)
    return hardest.sum() * (get_world_size() if joint else 1) / chosen


def _among_all(hardest: Tensor, count: int) -> Tensor:
    """Those of this process's values that are among the `count` largest of all processes."""
    padded = F.pad(hardest.detach(), (0, count - hardest.numel()), value=-torch.inf)
    places = torch.cat(all_gather(padded)).topk(count, sorted=False).indices
    return hardest[places[places // count == get_rank()] % count]


@MODELS.register_module()
class OHEMCrossEntropyLoss(nn.Module):
    """`ohem_cross_entropy` as a loss of mmseg's decode heads.

    Args:
        share: Share of all pixels that counts, in 0..1; published: 0.2.
        joint: See `ohem_cross_entropy`; published: False.
        loss_weight: Factor.
        loss_name: Name in the log; it must begin with ``loss_`` to be trained.

    Raises:
        ValueError: If `share` is not in 0..1.
    """

    def __init__(self, share: float = 0.2, joint: bool = True, loss_weight: float = 1.,
                 loss_name: str = 'loss_ohem') -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(f'OHEMCrossEntropyLoss: share={share} must lie in (0, 1].')
        self.share, self.joint, self.loss_weight, self.loss_name = share, joint, loss_weight, loss_name

    def forward(self, cls_score: Tensor, label: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE,
                **kwargs: Any) -> Tensor:
        """The loss of logits (B, K, H, W) and labels (B, H, W).

        Raises:
            ValueError: If pixels come with weights, by a sampler of mmseg.
        """
        if weight is not None:
            raise ValueError('OHEMCrossEntropyLoss chooses pixels itself: set sampler=None in the decode head.')
        return self.loss_weight * ohem_cross_entropy(cls_score, label, self.share, ignore_index, self.joint)
