"""A COCO JSON of images only, which says on what images a detector predicts (docs/methods/maskdistill.md §14)."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from leopart_mm.apis.image_inputs import list_images, named_images
from leopart_mm.apis.listed_images import find_images
from leopart_mm.datasets.coco_json import write_coco
from leopart_mm.datasets.file_lists import read_lines
from leopart_mm.datasets.image_reading import ImageReadError, image_size, read_image
from leopart_mm.datasets.voc_lists import find_list, image_folder
from leopart_mm.files import printable, shorten


def image_entries(folder: str | os.PathLike, names: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Entries of a COCO JSON, one per image.

    Args:
        folder: Folder of the images.
        names: Lines of a list, such as VOC's: names of images relative to the folder, with or without suffix and second
            column; each image counts once. None: all images in the folder and below it.

    Returns:
        ``id`` (the name without suffix, as in VOC's lists), ``file_name`` relative to the folder, ``height`` and
        ``width`` of the image as it is read. Images that cannot be read are left out, and named in the log.

    Raises:
        FileNotFoundError: If there is no image, or listed ones are missing; the message counts them.
    """
    folder = Path(folder).expanduser()
    paths = list_images(folder).images if names is None else dict.fromkeys(
        find_images(folder, names, 'the list', columns=True))
    images = named_images(list(paths), folder)
    entries, damaged = [], []
    for path, name in zip(images.images, images.names, strict=True):
        try:
            height, width = image_size(path) or read_image(path).shape[:2]
        except ImageReadError:
            damaged.append(path)
            continue
        entries.append(dict(id=name, file_name=Path(os.path.relpath(path, folder)).as_posix(), height=int(height),
                            width=int(width)))
    if damaged:
        print_log(f'{len(damaged)} of {len(images.images)} images cannot be read and are left out: '
                  f'{shorten(map(printable, damaged))}.', logger='current', level=logging.WARNING)
    return entries


def write_image_catalogue(folder: str | os.PathLike, out: str | os.PathLike,
                          split: str | os.PathLike | None = None) -> int:
    """Write the entries of a folder's images, or of a list's, as a COCO JSON without annotations.

    Args:
        folder: Folder of images; or one of VOC, with JPEGImages and ImageSets, whose names then are relative to
            JPEGImages.
        out: The file.
        split: Name of a list in ImageSets, or a list file, see `find_list`; None: all images.

    Returns:
        Number of images.

    Raises:
        FileNotFoundError: If the list or images are missing.
        ValueError: If no image is left, or several lists have this name.
    """
    folder = Path(folder).expanduser()
    images = image_folder(folder)
    names = None if split is None else read_lines(find_list(folder, split))
    entries = image_entries(images if images.is_dir() else folder, names)
    if not entries:
        raise ValueError(f'{printable(folder if split is None else split)} leaves no image.')
    write_coco(Path(out).expanduser(), entries, [], [], dict(list='all images' if split is None else Path(split).name))
    return len(entries)
