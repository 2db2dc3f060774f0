"""What prototypes are trained for: batch-wise cosine k-means (the baseline), or PriMaPs-EM."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from leopart_mm.masks.votes import majority_per_mask
from leopart_mm.models.decode_heads.prototype_head import PrototypeHead
from leopart_mm.models.losses.class_focal import IGNORE, class_focal_loss
from leopart_mm.models.losses.cosine_kmeans import cosine_kmeans_loss
from leopart_mm.models.losses.shares import check_divisor, sum_over_processes
from leopart_mm.registry import MODELS


class PrototypeObjective(BaseModule):
    """The contract: a loss of the running prototypes, and how the momentum prototypes follow them.

    Attributes:
        unit_features: Whether the momentum prototypes see features of unit length.
        needs_proposals: Whether batches must hold mask proposals.
        has_student_view: Whether the loss reads features of a changed copy of the images.
    """

    unit_features = False
    needs_proposals = False
    has_student_view = False

    def prepare(self, running: PrototypeHead) -> None:
        """Say which parameters are trained."""

    def forward(self, running: PrototypeHead, momentum: PrototypeHead, features: Tensor, student: Tensor,
                proposals: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and numbers for the log without gradient.

        Args:
            running: The trained prototypes, theta_R.
            momentum: Those that follow, theta_M.
            features: (B, C, h, w) of the clean images.
            student: (B, C, h, w) of the changed images; without such the clean ones.
            proposals: (B, H, W) int64 mask numbers, 255 where there is none; None: not given.
        """
        raise NotImplementedError

    def momentum_of(self, step: int, updates: int) -> float | None:
        """Decay of the update after step `step` (from 0), the one of number `updates` + 1; None: no update."""
        raise NotImplementedError

    def findings(self, means: Mapping[str, float]) -> list[str]:
        """What is wrong with the training according to averaged numbers of the log."""
        return []


@MODELS.register_module()
class CosineKMeans(PrototypeObjective):
    """Batch-wise cosine k-means on unit features with gains fixed at 1; the momentum set is a copy.

    Source: docs/methods/primaps.md §7. The log holds `used`, the share of prototypes that some cell chose.
    """

    unit_features = True

    def prepare(self, running: PrototypeHead) -> None:
        """Only directions are trained."""
        running.weight_g.requires_grad_(False)

    def forward(self, running, momentum, features, student, proposals):
        scores = running(F.normalize(features.float(), dim=1))
        used = _share_of_used(scores.detach().argmax(1), running.num_clusters)
        return cosine_kmeans_loss(scores), dict(used=used)

    def momentum_of(self, step: int, updates: int) -> float | None:
        """Copy after every step."""
        return 0.

    def findings(self, means: Mapping[str, float]) -> list[str]:
        """Dead prototypes."""
        return _collapse(means)


@MODELS.register_module()
class PrototypeEM(PrototypeObjective):
    """PriMaPs-EM: the momentum prototypes label masks by majority, the running ones learn these labels (§8).

    The log holds `labelled` (share of pixels inside masks), `used` (share of prototypes among the labels), `agreement`
    (share of labelled pixels where the running prototypes give the label).

    Args:
        gamma: Exponent of the class weights, at least 0.
        divisor: 'labelled', or 'all' as published; see `class_focal_loss`.
        ema_decay: Largest decay, beta, in [0, 1].
        ema_interval: Steps between updates of the momentum prototypes; -1: none (default of the published program).

    Raises:
        ValueError: If an argument is out of its range.
    """

    needs_proposals = True
    has_student_view = True

    def __init__(self, gamma: float = 2., divisor: str = 'labelled', ema_decay: float = 0.98, ema_interval: int = 10,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        check_divisor(divisor)
        if gamma < 0:
            raise ValueError(f'gamma={gamma} must be at least 0.')
        if not 0 <= ema_decay <= 1:
            raise ValueError(f'ema_decay={ema_decay} must lie in [0, 1].')
        if ema_interval != -1 and ema_interval < 1:
            raise ValueError(f'ema_interval={ema_interval} must be at least 1, or -1 for no update.')
        self.gamma, self.divisor, self.ema_decay, self.ema_interval = gamma, divisor, ema_decay, ema_interval

    def forward(self, running, momentum, features, student, proposals):
        labels = self.pseudo_labels(momentum, features, proposals)
        # logits, not features, are brought to pixels: a 1x1 convolution and interpolation commute (§18)
        logits = to_pixels(running(student), labels.shape[-2:])
        loss = class_focal_loss(logits, labels, self.gamma, self.divisor)
        with torch.no_grad():
            inside = labels != IGNORE
            agreement = ((logits.argmax(1) == labels) & inside).sum() / inside.sum().clamp(min=1)
            health = dict(labelled=inside.float().mean(), agreement=agreement,
                          used=_share_of_used(labels[inside], running.num_clusters))
        return loss, health

    @torch.no_grad()
    def pseudo_labels(self, momentum: nn.Module, features: Tensor, proposals: Tensor) -> Tensor:
        """(B, H, W): the most frequent class of each mask, 255 outside of masks."""
        classes = to_pixels(momentum(features), proposals.shape[-2:]).argmax(1)
        return majority_per_mask(classes, proposals, momentum.num_clusters, IGNORE)

    def momentum_of(self, step: int, updates: int) -> float | None:
        """Updates 1 and 2 copy, update n has decay 1 - 1/n, at most `ema_decay` (§8)."""
        if self.ema_interval == -1 or step == 0 or step % self.ema_interval:
            return None
        number = updates + 1
        if number <= 2:
            return 0.
        return 1. if self.ema_decay == 1 else min(1 - 1 / number, self.ema_decay)

    def findings(self, means: Mapping[str, float]) -> list[str]:
        """Collapse, and masks that cover little."""
        found = _collapse(means)
        if means.get('labelled', 1.) < 0.1:
            found.append(f'only {means["labelled"]:.1%} of the pixels lie in masks: look at the proposals '
                         '(tools/generate_masks.py --show-dir), their threshold and the CRF')
        return found


def to_pixels(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, K, h, w) to (B, K, H, W), bilinear."""
    return F.interpolate(logits, tuple(size), mode='bilinear', align_corners=False)


def _share_of_used(labels: Tensor, number: int) -> Tensor:
    counts = torch.bincount(labels.flatten(), minlength=number)
    return (sum_over_processes(counts) > 0).float().mean()


def _collapse(means: Mapping[str, float]) -> list[str]:
    if means.get('used', 1.) >= 0.2:
        return []
    return [f'only {means["used"]:.0%} of the prototypes get a cell: they collapse. Lower the learning rate, start at '
            'the principal directions (PrototypeHook(init=\'pca\')), or take fewer prototypes']
