"""Ground truth in COCO's form from Pascal VOC's maps of objects and classes (docs/methods/maskdistill.md §13)."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from leopart_mm.datasets.coco_json import write_coco
from leopart_mm.datasets.conversion import ConversionError, read_png, require
from leopart_mm.datasets.file_lists import read_lines
from leopart_mm.datasets.image_reading import IMAGE_SUFFIXES
from leopart_mm.datasets.voc_layout import read_meta
from leopart_mm.datasets.voc_lists import find_list, image_folder, listed_names
from leopart_mm.files import printable
from leopart_mm.masks.coco_masks import object_annotation
from leopart_mm.progress import progress

VOID, BACKGROUND, SPECK = 255, 0, 64
OBJECTS, SHAPES = ('SegmentationObject', 'components'), ('rle', 'polygons')
SOURCE = 'It is part of VOCtrainval_11-May-2012.tar of host.robots.ox.ac.uk.'


@dataclass
class ConversionReport:
    """What became of the objects.

    Args:
        objects: 'SegmentationObject' or 'components'.
        class_folder: Folder of the maps of classes.
        shape: 'rle' or 'polygons'.
        agnostic: Whether all categories are one.
        min_area: Objects of fewer pixels are left out.
        images: Number of images.
        annotations: Number of objects.
        too_small: Number of objects left out by `min_area`.
        without_outline: Number of objects left out since they have no polygon.
        without_class: Number of objects left out since most of their pixels have no class.
        empty: Number of images without an object.
    """

    objects: str
    class_folder: str
    shape: str
    agnostic: bool
    min_area: int
    images: int = 0
    annotations: int = 0
    too_small: int = 0
    without_outline: int = 0
    without_class: int = 0
    empty: int = 0

    def summary(self) -> str:
        """The report in words."""
        how = ('objects of SegmentationObject' if self.objects == OBJECTS[0] else
               f'connected components of the classes of {self.class_folder}, taken for objects')
        left = [f'{number} {why}' for number, why in (
            (self.too_small, f'of fewer than {self.min_area} pixels'),
            (self.without_outline, 'whose outline has fewer than three points'),
            (self.without_class, 'whose pixels mostly have no class')) if number]
        return (f'{self.annotations} {how}, in {self.images} images ({self.empty} without any)'
                + f'; left out: {", ".join(left)}' * bool(left) + '.')


@dataclass
class _Found:
    annotations: list[dict[str, Any]] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=lambda: dict(too_small=0, without_outline=0, without_class=0))


def convert(root: str | os.PathLike, out: str | os.PathLike, split: str | Sequence[str] = 'val',
            objects: str = 'SegmentationObject', shape: str = 'rle', agnostic: bool = False,
            class_folder: str = 'SegmentationClass', min_area: int | None = None, published: bool = False,
            workers: int = 4) -> ConversionReport:
    """Write a COCO JSON of the objects of VOC's images.

    The id of an image is its name in the list, categories are the classes without background, with ids from 0.

    Args:
        root: Folder with JPEGImages, ImageSets and the maps; class names as in `VOCLayoutDataset`.
        out: The file that is written, whole or not at all.
        split: Name of a list, or a list file, see `find_list`; or the names themselves.
        objects: 'SegmentationObject' (maps of objects), or 'components': the connected components (pixels that touch by
            a side or a corner) of each class, for data without such maps. An object that something covers in part
            then counts as several, objects of a class that touch as one.
        shape: 'rle', or 'polygons' as published: filled holes, details below 2 pixels lost.
        agnostic: One category, 0.
        class_folder: Folder of the maps of classes, such as SegmentationClassAug.
        min_area: Objects of fewer pixels are left out; None: none, of components those below 64 pixels.
        published: Annotations counted from 0, file names without suffix, a last category 'background', and a category
            for objects without a class (-1, 254), as published.
        workers: Number of threads.

    Raises:
        ConversionError: If a part is missing, damaged or does not fit; the message names it.
        ValueError: If an option is unknown.
    """
    for name, value, known in (('objects', objects, OBJECTS), ('shape', shape, SHAPES)):
        if value not in known:
            raise ValueError(f'{name}={value!r} is unknown: use {" or ".join(map(repr, known))}.')
    root = require(root, 'The VOC folder', SOURCE)
    classes = require(root / class_folder, 'The folder of class maps', SOURCE)
    instances = None
    if objects == OBJECTS[0]:
        instances = require(root / OBJECTS[0], 'The folder of object maps', f'{SOURCE} Without it, objects=components '
                            '(--objects components) takes the connected components of each class for objects.')
    min_area = (SPECK if instances is None else 0) if min_area is None else min_area
    names, listing = _names(root, split, lambda name: (classes / f'{name}.png').is_file())
    folder = image_folder(root)
    class_names = read_meta(root)['classes']
    report = ConversionReport(objects, class_folder, shape, agnostic, min_area, len(names))
    read = partial(_read, classes, instances, len(class_names))
    work = partial(_convert_one, read, shape, agnostic, min_area, published)
    images, annotations = [], []
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        for name, (size, found) in zip(names, progress(pool.map(work, names), 'VOC objects', len(names)), strict=True):
            file_name = name if published else _file_name(folder, name)
            images.append(dict(file_name=file_name, height=size[0], width=size[1], id=name))
            for entry in found.annotations:
                annotations.append(dict(entry, id=len(annotations) + (not published), image_id=name))
            for why, number in found.left_out.items():
                setattr(report, why, getattr(report, why) + number)
            report.empty += not found.annotations
    report.annotations = len(annotations)
    info = dict(description='Objects of Pascal VOC, by leopart_mm', **asdict(report), list=listing)
    write_coco(out, images, annotations, voc_categories(class_names, agnostic, published), info)
    print(f'{printable(out)}: {report.summary()}')
    return report


def voc_categories(class_names: Sequence[str], agnostic: bool = False, published: bool = False) -> list[dict[str, Any]]:
    """The categories of a file: all classes but the first, from 0; or a nameless one.

    >>> [(entry['id'], entry['name']) for entry in voc_categories(['background', 'cat', 'dog'], published=True)]
    [(0, 'cat'), (1, 'dog'), (2, 'background')]
    """
    names = [''] if agnostic else [*class_names[1:], *['background'] * published]
    return [dict(supercategory='', id=number, name=name) for number, name in enumerate(names)]


def object_masks(classes: np.ndarray, instances: np.ndarray | None = None) -> list[tuple[np.ndarray, int]]:
    """The objects of an image.

    Args:
        classes: (H, W) uint8, class of each pixel; 0 is background, 255 void.
        instances: (H, W) uint8, object of each pixel, likewise; None takes the connected components of each class.

    Returns:
        Mask (H, W) bool and class of each object: the most frequent value inside, the smallest on ties. In ascending
        order of object numbers; components by class, then in reading order.
    """
    if instances is not None:
        masks = [instances == number for number in np.unique(instances) if number not in (BACKGROUND, VOID)]
        return [(mask, int(np.bincount(classes[mask], minlength=256).argmax())) for mask in masks]
    found = []
    for value in np.unique(classes):
        if value not in (BACKGROUND, VOID):
            components, number = ndimage.label(classes == value, np.ones((3, 3)))
            found += [(components == index, int(value)) for index in range(1, number + 1)]
    return found


def _convert_one(read: Any, shape: str, agnostic: bool, min_area: int, published: bool, name: str
                 ) -> tuple[tuple[int, int], _Found]:
    classes, instances, known = read(name)
    found = _Found()
    for mask, value in object_masks(classes, instances):
        without_class = value in (BACKGROUND, VOID)
        if without_class and not published and not agnostic:
            found.left_out['without_class'] += 1
        elif value >= known and value != VOID:
            raise ConversionError(f'The class map of {name} holds class {value}, but there are only 0..{known - 1} and '
                                  f'{VOID}.')
        elif mask.sum() < min_area:
            found.left_out['too_small'] += 1
        elif (entry := object_annotation(mask, 0 if agnostic else value - 1, shape)) is None:
            found.left_out['without_outline'] += 1
        else:
            found.annotations.append(entry)
    return classes.shape, found


def _read(class_folder: Path, instance_folder: Path | None, known: int, name: str
          ) -> tuple[np.ndarray, np.ndarray | None, int]:
    maps = []
    for folder in (class_folder, instance_folder):
        if folder is not None:
            path = folder / f'{name}.png'
            labels = read_png(path)
            if labels.ndim != 2:
                raise ConversionError(f'{path} is no map: it has {labels.shape[2]} channels.')
            maps.append(labels)
    if len(maps) == 2 and maps[0].shape != maps[1].shape:
        raise ConversionError(f'The maps of {name} differ in size: {class_folder.name} has {_shape(maps[0])}, '
                              f'{instance_folder.name} {_shape(maps[1])} (height x width).')
    return maps[0], maps[1] if len(maps) == 2 else None, known


def _shape(labels: np.ndarray) -> str:
    return ' x '.join(map(str, labels.shape))


def _names(root: Path, split: str | Sequence[str], exists: Callable[[str], bool]) -> tuple[list[str], str]:
    """The names of a list, and what the list is called."""
    if isinstance(split, str | os.PathLike):
        try:
            file = find_list(root, split, prefer='ImageSets/Segmentation')
        except FileNotFoundError as error:
            raise ConversionError(str(error)) from error
        lines, listing = read_lines(file), file.name
    else:
        lines, listing = list(split), f'{len(split)} names'
    names = listed_names(lines, exists)
    if not names:
        raise ConversionError(f'The list {listing} names no image.')
    return names, listing


def _file_name(folder: Path, name: str) -> str:
    """The name of an image's file; that with .jpg if there is none."""
    return next((f'{name}{suffix}' for suffix in IMAGE_SUFFIXES if (folder / f'{name}{suffix}').is_file()),
                f'{name}.jpg')
