"""Drawing the outlines of a label map to the edges of its image, for people to look at."""

import torch
import torch.nn.functional as F
from torch import Tensor

from leopart_mm.masks.crf import DEFAULTS, CRFSettings, dense_crf

CONFIDENCE = 0.7  # probability of a given label; the others of the image share the rest


def refine_labels(labels: Tensor, image: Tensor, confidence: float = CONFIDENCE, settings: CRFSettings = DEFAULTS,
                  missing: Tensor | None = None) -> Tensor:
    """A label map after the dense CRF (docs/methods/primaps.md §5), in which only labels of the image compete.

    Memory and time grow with the number of different labels in the image, not with the number of clusters.

    Args:
        labels: (H, W) integers.
        image: (H, W, 3) uint8.
        confidence: Probability of the given label of a pixel, in (0, 1).
        settings: See CRFSettings.
        missing: (H, W) bool, pixels whose label does not count and stays.

    Returns:
        (H, W) of the same type.

    Raises:
        ValueError: If sizes differ or `confidence` is not in (0, 1).
        MemoryError: If this machine's memory cannot hold the marginals.
    """
    if not 0 < confidence < 1:
        raise ValueError(f'refine_labels: confidence={confidence} is a probability, it must lie in (0, 1).')
    if tuple(image.shape[:2]) != tuple(labels.shape):
        raise ValueError(f'A label map of {tuple(labels.shape)} pixels does not belong to an image of '
                         f'{tuple(image.shape[:2])}.')
    present, places = labels.unique(return_inverse=True)
    if missing is not None:
        present, places = _without(labels, missing)
    if len(present) < 2:
        return labels
    others = (1 - confidence) / (len(present) - 1)
    logits = torch.where(F.one_hot(places.clamp_min(0), len(present)).movedim(-1, 0) > 0,
                         torch.tensor(confidence).log(), torch.tensor(others).log())
    logits[:, places < 0] = 0  # nothing is known there
    best = present[dense_crf(logits, image, settings).argmax(0)]
    return best if missing is None else torch.where(missing, labels, best)


def _without(labels: Tensor, missing: Tensor) -> tuple[Tensor, Tensor]:
    """The labels beside those of missing pixels, and the place of each pixel's label among them, -1 if missing."""
    present, places = labels[~missing].unique(return_inverse=True)
    whole = torch.full(labels.shape, -1, dtype=torch.int64)
    whole[~missing] = places
    return present, whole
