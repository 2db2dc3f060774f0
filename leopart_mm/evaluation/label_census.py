"""What the ground truth holds, said before a score is believed: ignored pixels, absent classes."""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from leopart_mm.files import shorten

MUCH_IGNORED = 0.5


def count_ignored(labels: Tensor, ignore_index: int) -> Tensor:
    """(3,) int64 of one label map: ignored pixels, all pixels, 1 if all are ignored. Sums over images mean the same."""
    ignored = (labels == ignore_index).sum()
    return torch.stack([ignored, torch.full_like(ignored, labels.numel()), (ignored == labels.numel()).long()])


def findings(counts: np.ndarray, images: int, occurring: np.ndarray, classes: Sequence[str], ignore_index: int,
             left_out: int | None = None) -> list[tuple[int, str]]:
    """Messages with their logging levels.

    Args:
        counts: Sum of `count_ignored` over the images.
        images: Number of images.
        occurring: (C,) bool, whether the ground truth holds a class.
        classes: C names.
        ignore_index: Label of pixels that do not count.
        left_out: Class that cannot occur, since its id is ignored; None: there is none.
    """
    ignored, pixels, unscored = (int(count) for count in counts)
    share = ignored / max(pixels, 1)
    said = [(logging.WARNING if share > MUCH_IGNORED else logging.INFO,
             f'{share:.1%} of the pixels of the ground truth are ignored (label {ignore_index})'
             + (f', all pixels in {unscored} of {images} images.' if unscored else '.'))]
    if occurring[0] and not occurring[1:].any() and left_out != 0:
        said.append((logging.WARNING,
                     f'The ground truth holds no class but 0 ({classes[0]}), so aAcc and mIoU_occurring reach 100 % '
                     f'whatever is predicted, and say nothing. Is the foreground stored as {ignore_index}, which is '
                     'ignored? tools/dataset_converters/colour_masks.py --binary turns such masks into ids.'))
    absent = [name for index, name in enumerate(classes) if not occurring[index] and index != left_out]
    if absent:
        said.append((logging.WARNING,
                     f'{len(absent)} of {len(classes)} classes do not occur in the ground truth: '
                     f'{shorten(absent, 10)}. Each counts as 0 in mIoU; mIoU_occurring leaves them out.'))
    return said
