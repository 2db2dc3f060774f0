"""PriMaPs-EM's step as published, written from docs/methods/primaps.md §8: the yardstick of `primaps-train`."""

from typing import Any


def published_step(features: Any, student: Any, proposals: Any, momentum: Any, running: Any, gamma: float) -> Any:
    """Features at the size of pixels twice, a vote per mask in a loop, the class-weighted loss over all pixels.

    Args:
        features, student: (B, C, h, w) of clean and changed images.
        proposals: (B, S, S) mask numbers, 255 where there is none.
        momentum, running: (K, C) prototypes; the running ones with gradient.
        gamma: Exponent of the class weights.

    Returns:
        The loss and the pseudo-labels (B, S, S).
    """
    import torch
    import torch.nn.functional as F
    size = proposals.shape[-2:]
    with torch.no_grad():
        clean = F.interpolate(features, size, mode='bilinear', align_corners=False)
        classes = F.conv2d(clean, momentum[..., None, None]).argmax(1)
        del clean
        labels = torch.full_like(proposals, 255)
        for image, masks in enumerate(proposals):
            for number in masks.unique():
                if number != 255:
                    inside = masks == number
                    labels[image][inside] = classes[image][inside].bincount(minlength=len(momentum)).argmax()
    logits = F.conv2d(F.interpolate(student, size, mode='bilinear', align_corners=False), running[..., None, None])
    with torch.no_grad():
        weights = (1 - logits.softmax(1).mean((0, 2, 3))) ** gamma
    return F.cross_entropy(logits, labels, weights, ignore_index=255, reduction='none').mean(), labels
