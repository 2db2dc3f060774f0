"""Cityscapes' label ids and the 19 classes that are scored."""

import numpy as np

IGNORE = 255
# The position is the class (train id), the value the label id in *_gtFine_labelIds.png.
TRAIN_CLASS_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)


def cityscapes_train_ids(label_ids: np.ndarray) -> np.ndarray:
    """Label ids (any shape; -1, the licence plates, included) to classes 0..18, 255 for ids that are not scored."""
    table = np.full(256, IGNORE, np.uint8)
    table[list(TRAIN_CLASS_IDS)] = np.arange(len(TRAIN_CLASS_IDS))
    return table[np.asarray(label_ids, np.int64) % 256]  # -1 is 255 in a PNG of bytes
