"""Majority votes inside masks: one label per mask, for whole batches at once."""

import torch
from torch import Tensor

from leopart_mm.masks.proposals import IGNORE


def majority_per_mask(classes: Tensor, masks: Tensor, num_classes: int, ignore: int = IGNORE) -> Tensor:
    """Give all pixels of a mask the class that is most frequent among them.

    Source: docs/methods/primaps.md §8 step 4.

    Args:
        classes: (B, H, W) integers in 0..num_classes - 1. Pixels with `ignore` in `masks` may hold anything.
        masks: (B, H, W) integers >= 0, the mask that a pixel belongs to; masks of different images are different
            ones whatever their numbers. Memory grows with the largest number.
        num_classes: K.
        ignore: Value of pixels in no mask.

    Returns:
        (B, H, W) int64: the class of the mask, of several equally frequent ones the smallest; `ignore` where `masks`
        has it.

    Raises:
        ValueError: If the shapes differ, or a pixel of a mask has no class in 0..K - 1.

    >>> majority_per_mask(torch.tensor([[[2, 1, 1, 0]]]), torch.tensor([[[1, 1, 4, 255]]]), 3).tolist()
    [[[1, 1, 1, 255]]]
    """
    if classes.shape != masks.shape or masks.dim() != 3:
        raise ValueError(f'classes {tuple(classes.shape)} and masks {tuple(masks.shape)} must both be (B, H, W).')
    masks, result = masks.long(), torch.full(masks.shape, ignore, dtype=torch.int64, device=masks.device)
    inside = masks != ignore
    numbers, votes = masks[inside], classes[inside].long()
    if not len(numbers):
        return result
    low, high = votes.aminmax()
    if low < 0 or high >= num_classes:
        raise ValueError(f'Classes inside masks must lie in 0..{num_classes - 1}, but there are {int(low)}..'
                         f'{int(high)}.')
    image = torch.arange(len(masks), device=masks.device)[:, None, None].expand_as(masks)[inside]
    groups = int(numbers.max()) + 1
    mask = image * groups + numbers
    counts = torch.bincount(mask * num_classes + votes, minlength=len(masks) * groups * num_classes)
    counts = counts.view(-1, num_classes)
    # argmax alone leaves open which of several it takes; so the rank of the class decides.
    winners = (counts * num_classes + torch.arange(num_classes - 1, -1, -1, device=counts.device)).argmax(1)
    result[inside] = winners[mask]
    return result
