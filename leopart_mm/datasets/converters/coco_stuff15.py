"""Merge COCO-Stuff's 91 stuff classes into 15 super-categories."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leopart_mm.datasets.coco_categories import STUFF_SUPERCATEGORIES, class_of_category
from leopart_mm.datasets.conversion import ConversionError, convert_masks, read_png, require

SOURCE = ('Unpack stuff_annotations_trainval2017.zip of cocodataset.org into annotations/stuff_annotations, and the '
          'zips of pixelmaps that it holds.')
KNOWN_IDS = {0, *range(92, 184)}


def convert(path: Path) -> np.ndarray:
    """Category ids -> classes."""
    ids = read_png(path)
    if ids.ndim != 2 or not set(np.unique(ids).tolist()) <= KNOWN_IDS:
        raise ConversionError(f'{path} is no COCO-Stuff pixelmap: its values must be 0 or 92 to 183.')
    return class_of_category(STUFF_SUPERCATEGORIES)[ids]


def merge_stuff(source: str | Path, splits: Sequence[str], workers: int = 4) -> None:
    """Write the masks of the 15 super-categories below annotations/stuff15.

    Args:
        source: COCO folder, with annotations/.
        splits: Such as 'val2017'.
        workers: Number of threads.

    Raises:
        ConversionError: If something is missing or does not fit; the message names it.
    """
    root = require(source, 'The COCO folder', SOURCE)
    folders = {split: require(root / f'annotations/stuff_annotations/stuff_{split}_pixelmaps',
                              f'The folder of pixelmaps of {split}', SOURCE) for split in splits}
    for split, folder in folders.items():
        target = root / 'annotations' / 'stuff15' / split
        targets = {target / path.name: path for path in sorted(folder.glob('*.png'))}
        if not targets:
            raise ConversionError(f'{folder} holds no PNG. {SOURCE}')
        written = convert_masks(targets, convert, f'COCO-Stuff {split}', workers)
        print(f'{target}: {len(targets)} masks, {written} of them new.')
