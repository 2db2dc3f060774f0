"""A few images with masks beside them, as people have them: found, named and checked before anything is fitted."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmseg.datasets import BaseSegDataset
from PIL import Image

from leopart_mm.datasets.converters.colour_masks import codes, read_colours, read_picture, to_ids
from leopart_mm.datasets.file_lists import find_files
from leopart_mm.datasets.image_reading import IMAGE_SUFFIXES, ImageReadError, image_size
from leopart_mm.datasets.mask_reading import MaskError, fit_to_image, read_mask
from leopart_mm.datasets.readers import with_our_readers
from leopart_mm.datasets.value_range import HasValueRange, Range
from leopart_mm.datasets.voc_layout import read_meta
from leopart_mm.files import printable, shorten
from leopart_mm.palette import distinct_colours
from leopart_mm.registry import DATASETS

LEGENDS = ('legend.txt', 'legend.json')
FOLDERS = (('JPEGImages', 'SegmentationClass'), ('images', 'masks'))
IGNORE = 255
BLACK, BACKGROUND = [0, 0, 0], 'background'
HOW = ('Examples are images with a mask each: a.jpg and beside it a.png (or a_mask.png), or the folders images and '
       'masks, or JPEGImages and SegmentationClass as in Pascal VOC.')
LEGEND_HOW = ('one line per class, its name and its colour, such as "road 128 64 128" (a class called "ignore" stands '
              'for pixels without a class)')

Colours = dict[str, tuple[int, int, int]]


@dataclass
class Examples:
    """Images with masks.

    Args:
        pairs: Image and mask of each.
        classes: Name of each class id.
        palette: Colour of each class id.
        colours: Legend by which masks are read, name -> colour; None: masks hold class ids.
    """

    pairs: list[tuple[str, str]]
    classes: list[str]
    palette: list[list[int]]
    colours: Colours | None = None


def read_examples(folder: str | os.PathLike) -> Examples:
    """Find the pairs of a folder, the classes, and what is wrong with them.

    The layouts are in `HOW`. Masks hold class ids (255: no class), whose names are those of ``meta.json`` or, in VOC's
    layout with VOC's ids, VOC's; else they are called ``class 0``, ``class 1``, ..., and a class 0 that is black in the
    masks' palette is ``background``. With a ``legend.txt`` (or ``legend.json``), masks hold its colours, also as a
    palette.

    All masks are read, so this is for a few hundred of them.

    Raises:
        FileNotFoundError: If there is no such folder or no pair, or a mask has no image.
        MaskError: If a mask is damaged, does not belong to its image, or holds colours or ids that are no class.
        ImageReadError: If an image is none.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f'There is no folder of examples {printable(root)}. {HOW}')
    pairs = find_pairs(root)
    legend = next((root / name for name in LEGENDS if (root / name).is_file()), None)
    colours = None if legend is None else read_colours(legend)
    ids: set[int] = set()
    for image, mask in pairs:
        size = image_size(image)
        if size is None:
            raise ImageReadError(image, 'it is damaged, or no image, so it is no example')
        plain = colours is None and not _has_colours(mask)
        found = read_mask(mask) if plain else _by_legend(mask, colours, legend, root)
        fit_to_image(found, size, mask, image)
        ids.update(np.unique(found).tolist())
    ids.discard(IGNORE)
    if not ids:
        raise MaskError(f'The {len(pairs)} masks in {printable(root)} hold no class: all pixels are {IGNORE}, which '
                        'means that they have none.')
    classes, palette = _classes(root, colours, max(ids) + 1, pairs[0][1])
    if max(ids) >= len(classes):
        raise MaskError(f'The masks in {printable(root)} hold the class {max(ids)}, but its meta.json names '
                        f'{len(classes)} classes (0 to {len(classes) - 1}).')
    if len(ids) < 2:
        raise MaskError(f'The masks in {printable(root)} hold a single class, {classes[min(ids)]}, which all segments '
                        'would then be of. If 255 stands for the object, write a file legend.txt there: '
                        '"background 0 0 0" and "object 255 255 255" in a line each.')
    return Examples(pairs, classes, palette, colours)


def find_pairs(root: Path) -> list[tuple[str, str]]:
    """Image and mask of each example below a folder, sorted.

    Raises:
        FileNotFoundError: If there is none, or a mask has no image; the message names it.
    """
    for images, masks in FOLDERS:
        if (root / images).is_dir() and (root / masks).is_dir():
            return _pairs_of_folders(root / images, root / masks)
    files = find_files(root, IMAGE_SUFFIXES)
    by_stem: dict[str, list[str]] = {}
    for file in files:
        by_stem.setdefault(os.path.splitext(file)[0], []).append(file)
    pairs, alone = [], []
    for stem, same in sorted(by_stem.items()):
        if stem.endswith('_mask'):
            if stem.removesuffix('_mask') not in by_stem:
                raise FileNotFoundError(f'The mask {printable(same[0])} has no image: beside it is none called '
                                        f'{Path(stem).name.removesuffix("_mask")}.')
            continue
        masks = by_stem.get(f'{stem}_mask') or [file for file in same if file.lower().endswith('.png')]
        images = [file for file in same if file not in masks]
        if images and masks:
            pairs.append((images[0], masks[0]))
        else:
            alone += same
    _check_pairs(root, pairs, alone)
    return pairs


def _pairs_of_folders(images: Path, masks: Path) -> list[tuple[str, str]]:
    by_name = {os.path.splitext(os.path.relpath(file, images))[0]: file for file in find_files(images, IMAGE_SUFFIXES)}
    pairs, missing = [], []
    for mask in find_files(masks, ('.png', )):
        name = os.path.splitext(os.path.relpath(mask, masks))[0]
        image = by_name.get(name) or by_name.get(name.removesuffix('_mask'))
        if image is None:
            missing.append(name)
        else:
            pairs.append((image, mask))
    if missing:
        raise FileNotFoundError(f'{len(missing)} masks in {printable(masks)} have no image in {printable(images)}: '
                                f'{shorten(map(printable, missing))}. Add the images, or take the masks away.')
    if not pairs:
        raise FileNotFoundError(f'There is no mask (PNG) in {printable(masks)}. {HOW}')
    return pairs


def _check_pairs(root: Path, pairs: Sequence[tuple[str, str]], alone: Sequence[str]) -> None:
    if not pairs:
        raise FileNotFoundError(f'There is no image with a mask in {printable(root)}. {HOW}')
    masks = [os.path.relpath(file, root) for file in alone if file.lower().endswith('.png')]
    if masks:
        raise FileNotFoundError(f'{len(masks)} PNG files in {printable(root)} stand alone: '
                                f'{shorten(map(printable, masks))}. If they are masks, their images (of the same name) '
                                'are missing; if they are images, their masks (NAME_mask.png) are.')
    images = [os.path.relpath(file, root) for file in alone]
    if images:
        raise FileNotFoundError(f'{len(images)} images in {printable(root)} have no mask beside them: '
                                f'{shorten(map(printable, images))}. Add NAME.png, or take the images away.')


def _has_colours(mask: str) -> bool:
    """Whether a mask is a picture of colours: a palette's are names of ids, and grey saved as RGB is grey."""
    try:
        read_mask(mask)
    except MaskError:
        try:
            with Image.open(mask) as image:
                return image.mode in ('RGB', 'RGBA')
        except (OSError, ValueError, SyntaxError):
            return False
    return False


def _by_legend(mask: str, colours: Colours | None, legend: Path | None, root: Path) -> np.ndarray:
    picture = read_picture(Path(mask))
    found = sorted({f'#{code:06x}' for code in np.unique(codes(picture)).tolist()})
    if colours is None:
        raise MaskError(f'The mask {printable(mask)} holds colours ({shorten(found, 6)}): say what they mean in '
                        f'{printable(root / LEGENDS[0])}, {LEGEND_HOW}.')
    known = {'#{:02x}{:02x}{:02x}'.format(*colour) for colour in colours.values()}
    unknown = [colour for colour in found if colour not in known]
    if unknown:
        raise MaskError(f'The mask {printable(mask)} holds colours that {printable(legend)} does not name: '
                        f'{shorten(unknown, 6)}. Add them there, {LEGEND_HOW}. Many near colours mean that the mask '
                        'was saved as JPEG or resized smoothly: take the original.')
    return to_ids(picture, colours, 'error', mask)


def _classes(root: Path, colours: Colours | None, number: int, mask: str) -> tuple[list[str], list[list[int]]]:
    if colours is not None:
        names = [name for name in colours if name != 'ignore']
        return names, [list(colours[name]) for name in names]
    meta = read_meta(root)
    named = (root / 'meta.json').is_file() or ((root / FOLDERS[0][1]).is_dir() and number <= len(meta['classes']))
    classes = list(meta['classes']) if named else [f'class {index}' for index in range(number)]
    palette = [list(colour) for colour in meta['palette']] if named else _palette_of(mask, number)
    if not named and palette and palette[0] == BLACK:  # as in VOC and the tools that took it over
        classes[0] = BACKGROUND
    return classes, palette or distinct_colours(len(classes)).tolist()


def _palette_of(mask: str, number: int) -> list[list[int]]:
    """The first colours of a mask's palette; none if it has none."""
    with Image.open(mask) as image:
        palette = image.getpalette() if image.mode == 'P' else None
    colours = np.reshape(palette or (), (-1, 3)).astype(int).tolist()
    return colours[:number] if len(colours) >= number else []


@DATASETS.register_module()
class ExampleImages(HasValueRange, BaseSegDataset):
    """A few images with masks beside them, found and checked by `read_examples`: what retrieval learns from.

    Args:
        data_root: The folder.
        value_range: (low, high) that become 0 and 255 in images of more than 8 bits; None: measured
            (`measure_value_range`), and shared with the other data sets of a run (`ValueRangeHook`); 'measure':
            measured on these images in any case.
        nodata: Number of missing pixels in such images, beside NaN, infinity and GDAL's tag.
        pipeline: Transforms; ``LoadImageFromFile`` and ``LoadAnnotations`` read as `LoadImage` and `LoadMask` do.
        **kwargs: As in mmseg's BaseSegDataset.

    Raises:
        FileNotFoundError, MaskError, ImageReadError: As `read_examples`.
    """

    METAINFO: dict = dict()

    def __init__(self, data_root: str, value_range: Range | str | None = None, nodata: float | None = None,
                 pipeline: Sequence[dict | Callable] = (), **kwargs: Any) -> None:
        self.examples = read_examples(data_root)
        self.keep_value_range(value_range, nodata)
        super().__init__(data_root=os.path.expanduser(data_root), data_prefix=dict(img_path='', seg_map_path=''),
                         metainfo=dict(classes=self.examples.classes, palette=self.examples.palette),
                         pipeline=with_our_readers(pipeline), **kwargs)

    def load_data_list(self) -> list[dict]:
        """One dict per example, with its image, its mask and what loading needs."""
        colours = self.examples.colours
        mask_reader = None if colours is None else partial(_read_colours_of, colours)
        samples = [dict(img_path=image, seg_map_path=mask, label_map=None, reduce_zero_label=False, seg_fields=[],
                        mask_reader=mask_reader) for image, mask in self.examples.pairs]
        self.measure_range(samples)
        return samples


def _read_colours_of(colours: Colours, path: str) -> np.ndarray:
    return to_ids(read_picture(Path(path)), colours, 'error', path)
