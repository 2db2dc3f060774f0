"""Cut the street scenes with their object parts out of the full ADE20K."""

import json
from pathlib import Path

import numpy as np

from leopart_mm.datasets.ade20k_street import NUM_PARTS
from leopart_mm.datasets.conversion import ConversionError, convert_masks, link_or_copy, read_png, require
from leopart_mm.files import write_text_whole
from leopart_mm.palette import distinct_colours
from leopart_mm.progress import progress

SOURCE = 'The full ADE20K comes from ade20k.csail.mit.edu, after registration.'
SPLITS = dict(training='train', validation='val')



def read_ids(path: Path) -> np.ndarray:
    """Object ids (h, w) of an ADE20K segmentation PNG: R // 10 * 256 + G."""
    colours = read_png(path)
    if colours.ndim != 3:
        raise ConversionError(f'{path} is no ADE20K segmentation: it must have three channels.')
    return colours[..., 0].astype(np.int64) // 10 * 256 + colours[..., 1]


def find_images(root: Path, scene: str) -> dict[str, list[Path]]:
    """Split -> images of the scene that have a part annotation."""
    found = {}
    for folder, split in SPLITS.items():
        images = [path for path in sorted((root / 'images').rglob('*.jpg'))
                  if scene in path.parent.parts and folder in path.relative_to(root).parts]
        if not images:
            raise ConversionError(f'{root}/images holds no {folder} image in a folder named {scene}. Is this the full '
                                  f'ADE20K? {SOURCE}')
        found[split] = [path for path in images if parts_file(path).is_file()]
        if not found[split]:
            raise ConversionError(f'None of the {len(images)} {scene} images of {folder} has its *_parts_1.png. '
                                  f'{SOURCE}')
    return found


def parts_file(image: Path) -> Path:
    """The first-level parts of an image."""
    return image.with_name(f'{image.stem}_parts_1.png')


def part_names(image: Path) -> dict[int, str]:
    """Id -> name of the parts of an image, from its json (2021 release); empty if it has none."""
    description = image.with_suffix('.json')
    if not description.is_file():
        return {}
    for encoding in ('utf-8', 'latin-1'):
        try:
            objects = json.loads(description.read_text(encoding=encoding))['annotation']['object']
            return {int(part['name_ndx']): str(part['name']).split(',')[0].strip() for part in objects}
        except (ValueError, KeyError, TypeError):
            continue
    return {}


def collect_parts(images: dict[str, list[Path]]) -> tuple[dict[str, list[Path]], dict[int, str]]:
    """The images in which a part is marked, and id -> name of all parts that occur."""
    kept, names, ids = {split: [] for split in images}, {}, set()
    flat = [(split, image) for split, members in images.items() for image in members]
    for split, image in progress(flat, 'Looking for parts', len(flat)):
        here = set(np.unique(read_ids(parts_file(image))).tolist()) - {0}
        if here:
            kept[split].append(image)
            names.update(part_names(image))
        ids |= here
    if not ids:
        raise ConversionError('Not a single part is marked in these images.')
    return kept, {number: names.get(number, f'part {number}') for number in sorted(ids)}


def write_meta(out: Path, parts: dict[int, str]) -> None:
    """Class names and their ids.

    Raises:
        ConversionError: If the folder holds masks made with other part ids.
    """
    previous = out / 'meta.json'
    if previous.is_file() and json.loads(previous.read_text()).get('ade20k_ids') != list(parts):
        raise ConversionError(f'{out} was made from other images (its meta.json lists other part ids). Delete it, or '
                              'choose another --out.')
    if len(set(parts.values())) < len(parts):
        parts = {number: f'{name} ({number})' for number, name in parts.items()}
    meta = dict(classes=list(parts.values()), palette=distinct_colours(len(parts)).tolist(), ignore_index=255,
                ade20k_ids=list(parts))
    write_text_whole(previous, json.dumps(meta, indent=1) + '\n')


def write_lists(out: Path, kept: dict[str, list[Path]]) -> None:
    """The lists of the splits; written last, so that an interrupted run is never taken for a finished one."""
    lists = out / 'ImageSets' / 'Segmentation'
    lists.mkdir(parents=True, exist_ok=True)
    for split, images in kept.items():
        write_text_whole(lists / f'{split}.txt', ''.join(f'{image.stem}\n' for image in images))


def extract_scene(source: str | Path, target: str | Path, scene: str = 'street', workers: int = 4) -> None:
    """Write a data set in VOC layout of the images of a scene in which parts are marked.

    Args:
        source: Folder of the full ADE20K, with images/.
        target: Folder to write to.
        scene: Name of the scene folders.
        workers: Number of threads.

    Raises:
        ConversionError: If something is missing or does not fit; the message names it.
    """
    root, out = require(source, 'The ADE20K folder', SOURCE), Path(target).expanduser()
    kept, parts = collect_parts(find_images(root, scene))
    if len(parts) > 255:
        raise ConversionError(f'{len(parts)} part classes do not fit into 8-bit masks: is --scene {scene} right?')
    if len(parts) != NUM_PARTS:
        print(f'note: {len(parts)} part classes occur; the published evaluation has {NUM_PARTS}.')
    write_meta(out, parts)
    ids = np.array(list(parts))

    def convert(parts: Path) -> np.ndarray:
        values = read_ids(parts)
        position = np.searchsorted(ids, values).clip(max=len(ids) - 1)
        return np.where(ids[position] == values, position, 255).astype(np.uint8)

    images = [image for members in kept.values() for image in members]
    for image in images:
        link_or_copy(image, out / 'JPEGImages' / image.name)
    targets = {out / 'SegmentationClass' / f'{image.stem}.png': parts_file(image) for image in images}
    written = convert_masks(targets, convert, 'ADE20K street', workers)
    write_lists(out, kept)
    print(f'{out}: {len(kept["train"])} training and {len(kept["val"])} validation images with {len(parts)} part '
          f'classes, {written} masks new.')
