"""Label maps of scored masks: which masks are sure enough, and who gets the pixels that several of them claim.

Source: docs/methods/maskdistill.md §7.
"""

from collections.abc import Iterable, Sequence

import numpy as np

OVERLAPS = ('first_wins', 'published', 'skip')
ORDERS = ('score', 'file')
LAST_CATEGORY = 253
"""The largest category that a map of bytes holds: its label is one more, and 255 is what does not count."""


def select_instances(scores: Sequence[float], threshold: float = 0.9, order: str = 'score') -> list[int]:
    """Which masks of an image are sure enough: all with at least `threshold`, but never none.

    Args:
        scores: One per mask.
        threshold: The least score. An image whose masks are all below it keeps its first one.
        order: 'score': the best first, of equal ones the first. 'file': as they stand, up to the first one below the
            threshold, as published; the same for masks that are sorted by score.

    Returns:
        Positions of the chosen masks, the first of the order first; empty only for an image without a mask.

    Raises:
        ValueError: If the order is unknown, or a score is NaN.

    >>> select_instances([0.95, 0.5, 0.99]), select_instances([0.95, 0.5, 0.99], order='file')
    ([2, 0], [0])
    >>> select_instances([0.3, 0.5]), select_instances([0.3, 0.5], order='file')
    ([1], [0])
    """
    if order not in ORDERS:
        raise ValueError(f'order={order!r} is unknown; known are: {", ".join(ORDERS)}.')
    scores = np.asarray(scores, np.float64)
    if np.isnan(scores).any():
        raise ValueError(f'The score of mask {int(np.isnan(scores).argmax())} is NaN.')
    ranked = np.argsort(-scores, kind='stable') if order == 'score' else np.arange(len(scores))
    below = scores[ranked] < threshold
    number = int(below.argmax()) if below.any() else len(ranked)
    return ranked[:max(number, 1)].tolist()


def merge_instances(masks: Iterable[np.ndarray], categories: Iterable[int], size: tuple[int, int],
                    overlap: str = 'first_wins') -> np.ndarray:
    """One label map of masks that may overlap.

    Args:
        masks: (H, W) bool each, the most certain first; read one by one.
        categories: Category of each mask, 0..253.
        size: (H, W).
        overlap: What happens where masks overlap:

            - 'first_wins': a mask gets the pixels that no mask before it has.
            - 'skip': a mask that overlaps one before it is dropped as a whole.
            - 'published': a later mask gets all its pixels. A mask is dropped where row 0 of the map (if the mask does
              not cover the image) or row 1 (if it is not empty) holds any label: the published code meant 'skip', and
              took the mask for row numbers.

    Returns:
        (H, W) uint8: 0 background, 1 + category in the masks.

    Raises:
        ValueError: If `overlap` is unknown, a mask has another size, or a category does not fit into a byte.

    >>> masks = np.array([[[0, 0, 0], [0, 1, 1]], [[1, 0, 0], [1, 1, 0]]], bool)
    >>> merge_instances(masks, [4, 7], (2, 3)).tolist()
    [[8, 0, 0], [8, 5, 5]]
    >>> merge_instances(masks, [4, 7], (2, 3), 'skip').tolist()
    [[0, 0, 0], [0, 5, 5]]
    """
    if overlap not in OVERLAPS:
        raise ValueError(f'overlap={overlap!r} is unknown; known are: {", ".join(OVERLAPS)}.')
    labels = np.zeros(size, np.uint8)
    for number, (mask, category) in enumerate(zip(masks, categories, strict=True)):
        mask = np.asarray(mask, bool)
        if mask.shape != labels.shape:
            raise ValueError(f'Mask {number} has {mask.shape[0]} x {mask.shape[1]} pixels, the map {size[0]} x '
                             f'{size[1]} (height x width).')
        if not 0 <= category <= LAST_CATEGORY:
            raise ValueError(f'Mask {number} has category {category}, but a label map of bytes holds the categories '
                             f'0..{LAST_CATEGORY}.')
        if overlap == 'published':
            tested = [row for row, there in ((0, not mask.all()), (1, mask.any())) if there]
            if labels[tested[0]:tested[-1] + 1].any():
                continue
        elif overlap == 'skip' and labels[mask].any():
            continue
        labels[mask & (labels == 0) if overlap == 'first_wins' else mask] = category + 1
    return labels
