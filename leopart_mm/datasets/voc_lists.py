"""The lists of Pascal VOC's layouts for detection and segmentation, and the names in them.

Source: docs/methods/maskdistill.md §14. The layouts::

    VOC2012/ImageSets/{Main,Segmentation}/NAME.txt     JPEGImages     (detection layout, and VOC as it is downloaded)
    VOCSegmentation/sets/NAME.txt                      images         (segmentation layout of published code)
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from leopart_mm.datasets.file_lists import read_lines, readings
from leopart_mm.datasets.object_boxes import image_key
from leopart_mm.files import printable, shorten

LISTS = ('ImageSets/Segmentation', 'ImageSets/Main', 'sets')
IMAGES = ('JPEGImages', 'images')


def find_list(root: str | os.PathLike, split: str | os.PathLike, prefer: str | None = None) -> Path:
    """The file of a list.

    Args:
        root: The folder of VOC.
        split: The name of a list of ImageSets/Segmentation, ImageSets/Main or sets, also with the folder in front
            (``Main/trainval``); or a file, as given or relative to `root`.
        prefer: The folder whose list is meant if several have one of this name with other images, as VOC's trainval.

    Raises:
        FileNotFoundError: If there is none; the message names those that are there.
        ValueError: If several are meant.
    """
    root = Path(root)
    given = Path(split).expanduser()
    found = {folder: root / folder / f'{split}.txt' for folder in LISTS if (root / folder / f'{split}.txt').is_file()}
    if prefer in found:
        return found[prefer]
    contents = {frozenset(read_lines(file)) for file in found.values()}
    if len(contents) > 1:
        choices = ' or '.join(f'{Path(folder).name}/{split}' for folder in found)
        raise ValueError(f'{printable(root)} has lists {printable(split)} of different images in '
                         f'{" and ".join(found)}: say which one by {printable(choices)}.')
    for place in (*found.values(), root / 'ImageSets' / f'{split}.txt', root / f'{split}.txt', given, root / given):
        if place.is_file():
            return place
    present = sorted({path.stem for folder in LISTS for path in (root / folder).glob('*.txt')})
    raise FileNotFoundError(f'There is no list {printable(split)}: neither in {", ".join(LISTS)} of {printable(root)}, '
                            f'nor as a file. There are: {shorten(map(printable, present), 30) or "none"}. Lists other '
                            "than VOC's own (trainaug, train_all, ...) must be copied there.")


def image_folder(root: str | os.PathLike) -> Path:
    """The folder of VOC's images: JPEGImages, or images where only that exists."""
    folders = [Path(root) / name for name in IMAGES]
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def listed_names(lines: Iterable[str], exists: Callable[[str], bool]) -> list[str]:
    """The names of the images in the lines of a list, each once: without folders in front, suffix, and second column.

    The second column may be a mask (``/JPEGImages/a.jpg /SegmentationClass/a.png``) or a number (``2007_000032 -1`` of
    VOC's lists of one class): all images of such a list count, whatever their number.

    Args:
        lines: The lines.
        exists: Whether there is such an image, which decides between readings of a line that has blanks in it.

    >>> listed_names(['a b', 'c -1', 'c  1', '/JPEGImages/d.jpg /masks/d.png'], lambda name: name in ('a b', 'c', 'd'))
    ['a b', 'c', 'd']
    """
    found = {}
    for line in lines:
        names = [PurePosixPath(image_key(name)).name for name, _ in readings(line)]
        found[next(filter(exists, names), names[-1])] = None
    return list(found)
