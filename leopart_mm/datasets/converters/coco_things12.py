"""Merge COCO's 80 thing classes into 12 super-categories, from the panoptic annotations."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leopart_mm.datasets.coco_categories import THING_SUPERCATEGORIES, class_of_category
from leopart_mm.datasets.conversion import ConversionError, begin_conversion, convert_masks, read_png, require

SOURCE = ('Unpack panoptic_annotations_trainval2017.zip of cocodataset.org into annotations/panoptic_annotations, and '
          'the zips of PNGs that it holds beside the json files.')


def convert(source: tuple[Path, list[dict]]) -> np.ndarray:
    """Segment ids in the colours of a panoptic PNG (id = R + 256 G + 65536 B) -> classes."""
    path, segments = source
    colours = read_png(path)
    if colours.ndim != 3:
        raise ConversionError(f'{path} is no panoptic PNG: it must have three channels.')
    colours = colours.astype(np.int64)
    ids, inverse = np.unique(colours[..., 0] + 256 * colours[..., 1] + 65536 * colours[..., 2], return_inverse=True)
    classes = class_of_category(THING_SUPERCATEGORIES)
    category = {segment['id']: segment['category_id'] for segment in segments}
    unknown = [int(value) for value in ids if value != 0 and int(value) not in category]
    if unknown:
        raise ConversionError(f'{path} holds segments that the json does not name: {unknown[:5]}. Do PNGs and json '
                              'belong together?')
    return classes[[category.get(int(value), 0) for value in ids]][inverse.reshape(colours.shape[:2])]


def read_segments(path: Path) -> dict[str, list[dict]]:
    """File name -> its segments."""
    try:
        return {image['file_name']: image['segments_info'] for image in json.loads(path.read_text())['annotations']}
    except (ValueError, KeyError, TypeError) as error:
        raise ConversionError(f'{path} is no COCO panoptic json ({type(error).__name__}: {error}).') from error


def merge_things(source: str | Path, splits: Sequence[str], workers: int = 4) -> None:
    """Write the masks of the 12 super-categories below annotations/things12.

    Args:
        source: COCO folder, with annotations/.
        splits: Such as 'val2017'.
        workers: Number of threads.

    Raises:
        ConversionError: If something is missing or does not fit; the message names it.
    """
    folder = require(require(source, 'The COCO folder', SOURCE) / 'annotations/panoptic_annotations',
                     'The folder of panoptic annotations', SOURCE)
    for split in splits:
        require(folder / f'panoptic_{split}.json', f'The panoptic json of {split}', SOURCE)
        require(folder / f'panoptic_{split}', f'The folder of panoptic PNGs of {split}', SOURCE)
    for split in splits:
        target = folder.parent / 'things12' / split
        segments = read_segments(folder / f'panoptic_{split}.json')
        targets = {target / name: (folder / f'panoptic_{split}' / name, things) for name, things in segments.items()}
        if not targets:
            raise ConversionError(f'{folder}/panoptic_{split}.json names no image.')
        begin_conversion(target, json.dumps(segments), targets)
        written = convert_masks(targets, convert, f'COCO-Things {split}', workers)
        print(f'{target}: {len(targets)} masks, {written} of them new.')
