"""Merge COCO-Stuff's things and stuff into 27 super-categories, for the images of a curated list."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leopart_mm.datasets.coco import CURATED_LIST
from leopart_mm.datasets.conversion import ConversionError, begin_conversion, convert_masks, read_png, require
from leopart_mm.datasets.file_lists import read_lines
from leopart_mm.datasets.label_tables import COCO_STUFF27, UNKNOWN_CHOICES, label_table, map_ids
from leopart_mm.files import shorten

SOURCE = ('Unpack stuffthingmaps_trainval2017.zip of github.com/nightrome/cocostuff into stuffthingmaps, with the '
          'folders train2017 and val2017.')
LIST_SOURCE = ("The curated lists come with STEGO's copy of the data (curated/train2017 and curated/val2017 of its "
               'cocostuff.zip); --list all converts every mask.')
FOLDERS = ('stuffthingmaps', 'annotations/stuffthingmaps', 'annotations')


def find_masks(root: Path, split: str) -> Path:
    """The folder of stuff-thing maps of a split, of the places where people unpack them.

    Raises:
        ConversionError: If there is none.
    """
    for name in FOLDERS:
        if next((root / name / split).glob('*.png'), None) is not None:
            return root / name / split
    raise ConversionError(f'There are no stuff-thing maps of {split} in {root}: none of '
                          f'{", ".join(f"{name}/{split}" for name in FOLDERS)} holds a PNG. {SOURCE}')


def listed_masks(root: Path, split: str, folder: Path, list_name: str) -> list[Path]:
    """The masks of the images that a curated list names; of all, if its name is 'all'.

    Raises:
        ConversionError: If the list or a mask is missing.
    """
    if list_name == 'all':
        return sorted(folder.glob('*.png'))
    file = require(root / 'curated' / split / list_name, f'The curated list of {split}', LIST_SOURCE)
    masks = [folder / f'{Path(line).stem}.png' for line in read_lines(file)]
    missing = [path.name for path in masks if not path.is_file()]
    if missing or not masks:
        raise ConversionError(f'{len(missing)} of the {len(masks)} masks that {file} names are not in {folder}: '
                              f'{shorten(missing) or "the list is empty"}. {SOURCE}')
    return masks


def merge_coco(source: str | Path, splits: Sequence[str], list_name: str = CURATED_LIST, unknown: str = 'error',
               workers: int = 4) -> None:
    """Write the masks of the 27 super-categories below annotations/stuff27.

    Args:
        source: COCO folder.
        splits: Such as 'val2017'.
        list_name: File name of the curated lists in curated/<split>, or 'all'.
        unknown: 'error', 'ignore', or 'class0': ids from 182 to 254 become class 0 (published).
        workers: Number of threads.

    Raises:
        ConversionError: If something is missing or does not fit; the message names it.
    """
    root = require(source, 'The COCO folder', SOURCE)
    masks = {split: listed_masks(root, split, find_masks(root, split), list_name) for split in splits}
    table = label_table(COCO_STUFF27, unknown=UNKNOWN_CHOICES[unknown])

    def convert(path: Path) -> np.ndarray:
        return map_ids(read_png(path), table, str(path))

    for split, files in masks.items():
        target = root / 'annotations' / 'stuff27' / split
        targets = {target / path.name: path for path in files}
        begin_conversion(target, json.dumps(table.tolist()), target.glob('*.png'))
        written = convert_masks(targets, convert, f'COCO-Stuff-27 {split}', workers)
        print(f'{target}: {len(targets)} masks, {written} of them new.')
