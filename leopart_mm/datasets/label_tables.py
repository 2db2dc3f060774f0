"""From the ids of published label images to classes, with an error for ids that have no class."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from leopart_mm.datasets.coco_categories import IGNORE, STUFF_SUPERCATEGORIES, class_of_category
from leopart_mm.datasets.conversion import ConversionError
from leopart_mm.files import printable, shorten

UNKNOWN = -1

# Cityscapes: class = id - 7 (docs/methods/primaps.md §12).
CITYSCAPES27 = {name: (7 + index, ) for index, name in enumerate((
    'road', 'sidewalk', 'parking', 'rail track', 'building', 'wall', 'fence', 'guard rail', 'bridge', 'tunnel', 'pole',
    'polegroup', 'traffic light', 'traffic sign', 'vegetation', 'terrain', 'sky', 'person', 'rider', 'car', 'truck',
    'bus', 'caravan', 'trailer', 'train', 'motorcycle', 'bicycle'))}

# COCO's stuff-thing maps: category id - 1. Things by ranges, in which some ids never occur.
_THINGS = dict(electronic=(71, 76), appliance=(77, 82), food=(51, 60), furniture=(61, 70), indoor=(83, 90),
               kitchen=(43, 50), accessory=(25, 32), animal=(15, 24), outdoor=(9, 14), person=(0, 0), sports=(33, 42),
               vehicle=(1, 8))
_STUFF = ('ceiling', 'floor', 'food-stuff', 'furniture-stuff', 'raw-material', 'textile', 'wall', 'window', 'building',
          'ground', 'plant', 'sky', 'solid', 'structural', 'water')
COCO_STUFF27 = {
    **{name: tuple(range(first, last + 1)) for name, (first, last) in _THINGS.items()},
    **{name: tuple(number - 1 for number in STUFF_SUPERCATEGORIES[name]) for name in _STUFF},
}

POTSDAM3 = dict(road=(0, 4), building=(1, 5), vegetation=(2, 3))


def label_table(groups: Mapping[str, Sequence[int]], ignored: Iterable[int] = (IGNORE, ),
                unknown: int | None = None) -> np.ndarray:
    """(256,) int16: id -> index of its group, 255 for ignored ids, `unknown` for all others.

    Args:
        groups: Name of a class -> ids.
        ignored: Ids that mean no class.
        unknown: Class of the other ids; None: -1, which `map_ids` refuses.

    >>> label_table(POTSDAM3)[[0, 5, 255, 7]].tolist()
    [0, 1, 255, -1]
    """
    table = class_of_category(groups).astype(np.int16)
    known = [number for ids in (*groups.values(), ignored) for number in ids]
    others = np.setdiff1d(np.arange(256), known)
    table[others] = UNKNOWN if unknown is None else unknown
    return table


def map_ids(ids: np.ndarray, table: np.ndarray, name: str) -> np.ndarray:
    """Classes (h, w) uint8 of ids (h, w).

    Args:
        ids: Whole numbers.
        table: (256,) of `label_table`.
        name: The file, for messages.

    Raises:
        ConversionError: If it is no label image, or an id has no class; the message names both.
    """
    if ids.ndim != 2 or ids.dtype.kind not in 'bui' or (ids.size and not 0 <= ids.min() <= ids.max() <= 255):
        raise ConversionError(f'{printable(name)} is no label image: it must hold one whole number from 0 to 255 per '
                              f'pixel, not {ids.dtype} of shape {ids.shape}.')
    classes = table[ids]
    if (classes == UNKNOWN).any():
        found = shorten(map(str, np.unique(ids[classes == UNKNOWN]).tolist()))
        raise ConversionError(f'{printable(name)} holds ids without a class: {found}. Is it the label image of another '
                              'data set? --unknown says what to do with them.')
    return classes.astype(np.uint8)


# What --unknown of the converters means; None: an error.
UNKNOWN_CHOICES = dict(error=None, ignore=IGNORE, class0=0)
