"""Merge COCO-Stuff's 91 stuff classes into 15 super-categories.

    python tools/dataset_converters/coco_stuff15.py data/coco

reads annotations/stuff_annotations/stuff_{train,val}2017_pixelmaps/*.png (stuff_annotations_trainval2017.zip of
cocodataset.org; the pixelmaps are a second zip in it) and writes annotations/stuff15/{train,val}2017/*.png with values
0..14, and 255 for things and 'other'. What is already there is left alone, so a stopped run can be started again.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leopart_mm.datasets.coco_categories import STUFF_SUPERCATEGORIES, class_of_category
from leopart_mm.datasets.conversion import ConversionError, convert_masks, read_png, require

SOURCE = ('Unpack stuff_annotations_trainval2017.zip of cocodataset.org into annotations/stuff_annotations, and the '
          'zips of pixelmaps that it holds.')
KNOWN_IDS = {0, *range(92, 184)}


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help='COCO folder, with annotations/')
    parser.add_argument('--splits', nargs='+', default=['train2017', 'val2017'])
    parser.add_argument('--workers', type=int, default=4, help='threads (4)')
    return parser.parse_args(argv)


def convert(path: Path) -> np.ndarray:
    """Category ids -> classes."""
    ids = read_png(path)
    if ids.ndim != 2 or not set(np.unique(ids).tolist()) <= KNOWN_IDS:
        raise ConversionError(f'{path} is no COCO-Stuff pixelmap: its values must be 0 or 92 to 183.')
    return class_of_category(STUFF_SUPERCATEGORIES)[ids]


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    root = require(args.root, 'The COCO folder', SOURCE)
    folders = {split: require(root / f'annotations/stuff_annotations/stuff_{split}_pixelmaps',
                              f'The folder of pixelmaps of {split}', SOURCE) for split in args.splits}
    for split, folder in folders.items():
        target = root / 'annotations' / 'stuff15' / split
        targets = {target / path.name: path for path in sorted(folder.glob('*.png'))}
        if not targets:
            raise ConversionError(f'{folder} holds no PNG. {SOURCE}')
        written = convert_masks(targets, convert, f'COCO-Stuff {split}', args.workers)
        print(f'{target}: {len(targets)} masks, {written} of them new.')


if __name__ == '__main__':
    try:
        main()
    except ConversionError as error:
        raise SystemExit(f'error: {error}') from None
