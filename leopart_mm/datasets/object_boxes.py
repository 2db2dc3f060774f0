"""Boxes and classes of ground-truth objects, from COCO's JSON or VOC's XML files (docs/methods/maskdistill.md §5)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
from mmseg.utils import get_classes

from leopart_mm.datasets.image_reading import IMAGE_SUFFIXES
from leopart_mm.files import printable
from leopart_mm.geometry.boxes import box_corners, box_iou

VOC_OBJECTS = tuple(get_classes('pascal_voc')[1:])  # without background


@dataclass(frozen=True)
class Objects:
    """The objects of an image.

    Args:
        boxes: (N, 4) float64, x1, y1, x2, y2.
        classes: (N,) int64, their category ids.
        hard: (N,) bool, crowds or difficult ones.
    """

    boxes: np.ndarray
    classes: np.ndarray
    hard: np.ndarray

    def __len__(self) -> int:
        return len(self.classes)

    def without(self, left_out: np.ndarray) -> 'Objects':
        """The objects of which (N,) `left_out` is False."""
        return Objects(self.boxes[~left_out], self.classes[~left_out], self.hard[~left_out])

    def class_at(self, box: Sequence[float]) -> int:
        """Class of the object that a box (x, y, width, height) overlaps most, by IoU; the first one on ties.

        Raises:
            ValueError: If there is no object.
        """
        return int(self.classes[box_iou(box_corners(box)[0], self.boxes).argmax()])


def coco_objects(annotations: Iterable[Mapping[str, Any]]) -> Objects:
    """Objects of annotations of one image in COCO's form, their corners rounded to whole pixels (halves to even)."""
    annotations = list(annotations)
    return Objects(np.rint(box_corners([entry['bbox'] for entry in annotations])),
                   np.array([entry['category_id'] for entry in annotations], np.int64),
                   np.array([bool(entry.get('iscrowd', 0)) for entry in annotations], bool))


def voc_objects(content: bytes, name: str = '<bytes>', classes: Sequence[str] = VOC_OBJECTS) -> Objects:
    """Objects of one of VOC's XML files: (xmin - 1, ymin - 1, xmax, ymax), classes counted from 0.

    Args:
        content: The bytes of the file.
        name: The file, for messages.
        classes: Names of the classes.

    Raises:
        ValueError: If it is no such file, or names an unknown class.
    """
    boxes, ids, hard = [], [], []
    try:
        for entry in ElementTree.fromstring(content).iter('object'):
            box = {key: float(entry.findtext(f'bndbox/{key}', '')) for key in ('xmin', 'ymin', 'xmax', 'ymax')}
            boxes.append([box['xmin'] - 1, box['ymin'] - 1, box['xmax'], box['ymax']])
            ids.append(classes.index(entry.findtext('name', '').strip()))
            hard.append(entry.findtext('difficult', '0').strip() == '1')
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f'{printable(name)} is no annotation of VOC, with a known class name and a bndbox of numbers '
                         f'per object ({error}).') from error
    return Objects(np.array(boxes, np.float64).reshape(-1, 4), np.array(ids, np.int64), np.array(hard, bool))


def image_key(file_name: str) -> str:
    """A file name by which images of two files of annotations are found again: without the suffix of an image.

    >>> image_key('VOC2012\\\\a.b.jpg'), image_key('2007_000027')
    ('VOC2012/a.b', '2007_000027')
    """
    path = PurePosixPath(str(file_name).replace('\\', '/'))
    return str(path.with_suffix('') if path.suffix.lower() in IMAGE_SUFFIXES else path)


class ImageMatcher:
    """Finds the image of another file of annotations: by its name below the data root, else by its last part.

    Args:
        file_names: Names of the images that are known; of several with an equal last part that part finds none.
    """

    def __init__(self, file_names: Iterable[str]) -> None:
        self.whole = {image_key(name): name for name in file_names}
        last = Counter(PurePosixPath(key).name for key in self.whole)
        self.last = {PurePosixPath(key).name: name for key, name in self.whole.items()
                     if last[PurePosixPath(key).name] == 1}

    def find(self, file_name: str) -> str | None:
        """The known name of an image; None if it is not known."""
        key = image_key(file_name)
        return self.whole.get(key, self.last.get(PurePosixPath(key).name))


def voc_annotations(root: str | Path) -> Path:
    """The folder of XML files of a VOC folder, or the folder itself if they lie in it.

    Raises:
        FileNotFoundError: If there are none.
    """
    root = Path(root)
    for folder in (root / 'Annotations', root):
        if folder.is_dir() and next(folder.glob('*.xml'), None) is not None:
            return folder
    raise FileNotFoundError(f'{printable(root)} holds no annotations of VOC: there is no .xml in it nor in '
                            'Annotations below it.')
