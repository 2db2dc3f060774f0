"""From soft masks to a map of mask numbers: cleaning, background, pixels, and classes of another map.

Source: docs/methods/primaps.md §4.3 and §4.4.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from leopart_mm.masks.principal import PrincipalSettings
from leopart_mm.masks.proposals import IGNORE
from leopart_mm.masks.votes import majority_per_mask

GAIN = 10.


def clean_masks(soft_masks: Tensor) -> Tensor:
    """Median of 3 x 3 cells, times 10, cut to 0..1; for thresholds from 0.1 on the result is binary.

    Args:
        soft_masks: (M, h, w). The border is reflected; a map that is one cell high or wide is continued.

    Returns:
        (M, h, w).
    """
    if not len(soft_masks):
        return soft_masks
    padded = soft_masks[None]
    for side, pad in ((soft_masks.shape[2], (1, 1, 0, 0)), (soft_masks.shape[1], (0, 0, 1, 1))):
        padded = F.pad(padded, pad, mode='reflect' if side > 1 else 'replicate')
    windows = padded[0].unfold(1, 3, 1).unfold(2, 3, 1).flatten(3)
    return (windows.median(-1).values * GAIN).clamp(0, 1)


def mask_log_probs(soft_masks: Tensor, settings: PrincipalSettings) -> Tensor:
    """Log-probabilities of background and masks per cell.

    Args:
        soft_masks: (M, h, w) of `PrincipalMasks`; M may be 0.
        settings: `erased` and `single_background` are read.

    Returns:
        (M + 1, h, w) float32: background, then the masks in their order. NaN only as published, see the settings.
    """
    masks = clean_masks(soft_masks)
    present = masks[masks != 0]  # NaN is present
    level = present.mean() if len(present) or settings.erased == 'nan' else masks.new_ones(())
    if len(masks) == 0:
        level = masks.new_ones(())
    rows = len(masks) == 1 and settings.single_background == 'rows'
    covered = masks[0].sum(0, keepdim=True).expand_as(masks[0]) if rows else masks.sum(0)
    background = (level - covered).clamp(0, 1)
    return torch.cat([background[None], masks]).log_softmax(0)


def proposal_labels(log_probs: Tensor, image: Tensor, crf: Callable[[Tensor, Tensor], Tensor] | None = None,
                    ignore: int = IGNORE) -> Tensor:
    """A map of mask numbers at the pixels of an image.

    Args:
        log_probs: (M + 1, h, w) of `mask_log_probs`.
        image: (H, W, 3) uint8, RGB.
        crf: Takes log-probabilities and image and gives marginals (M + 1, H, W), such as
            `leopart_mm.masks.crf.dense_crf`. None: the log-probabilities, bilinear.
        ignore: Number of pixels in no mask.

    Returns:
        (H, W) int64: 1..M, some of which may be missing, and `ignore`. All `ignore` if there is no mask, or where the
        published options left NaN.
    """
    size = tuple(image.shape[:2])
    if len(log_probs) == 1 or log_probs.isnan().any():
        return torch.full(size, ignore, dtype=torch.int64, device=log_probs.device)
    if crf is None:
        scores = F.interpolate(log_probs[None], size, mode='bilinear', align_corners=False)[0]
    else:
        scores = crf(log_probs, image)
    labels = (scores == scores.amax(0)).to(torch.uint8).argmax(0)
    return labels.masked_fill(labels == 0, ignore)


def apply_prior(labels: Tensor, prior: Tensor, ignore: int = IGNORE) -> Tensor:
    """Replace mask numbers by the class of a prior that is most frequent in the mask, the smallest of several.

    Args:
        labels: (H, W) of `proposal_labels`.
        prior: (H, W) integers >= 0, a class map; all 0 means that there is none.
        ignore: Number of pixels in no mask, which they keep.

    Returns:
        (H, W) int64.
    """
    if not prior.any():
        return labels
    return majority_per_mask(prior[None], labels[None], int(prior.max()) + 1, ignore)[0]
