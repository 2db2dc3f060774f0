"""Masks in images, and what a ground truth says about them (docs/methods/maskdistill.md §5)."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leopart_mm.apis.mask_crops import MaskCrop
from leopart_mm.datasets.coco_json import best_per_image, coco_kind, read_coco
from leopart_mm.datasets.image_reading import IMAGE_SUFFIXES
from leopart_mm.datasets.object_boxes import (
    VOC_OBJECTS,
    ImageMatcher,
    Objects,
    coco_objects,
    voc_annotations,
    voc_objects,
)
from leopart_mm.evaluation.coco_ap import average_precision
from leopart_mm.files import printable, shorten
from leopart_mm.geometry.boxes import box_pixels
from leopart_mm.masks import InstanceFiles

BACKGROUND = 'background'


class GroundTruth:
    """The class of the object that a mask lies on, read once per image.

    Args:
        path: A COCO JSON, or a folder of VOC (with Annotations/*.xml, or these files themselves).
        crowds: Whether regions of crowds may be the object of a mask, as published.

    Attributes:
        categories: Those of the JSON, or VOC's 20 with ids from 0.
        images: Those of the JSON; empty for VOC.
    """

    def __init__(self, path: str | os.PathLike, crowds: bool = False) -> None:
        self.path, self.crowds = Path(path).expanduser(), crowds
        self._objects: dict[str, Objects] = {}
        self._files: dict[str, Path] = {}
        self.images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        if self.path.is_dir():
            self._files = {file.stem: file for file in sorted(voc_annotations(self.path).glob('*.xml'))}
            self.categories = [dict(id=number, name=name) for number, name in enumerate(VOC_OBJECTS)]
            self._matcher = ImageMatcher(self._files)
        else:
            file = read_coco(self.path)
            self.images, self.categories = file.images, file.categories
            self._annotations = [self._with_area(annotation) for annotation in file.annotations]
            entries = file.by_image()
            self._objects = {image['file_name']: self._chosen(coco_objects(entries[image['id']]))
                             for image in self.images}
            self._matcher = ImageMatcher(self._objects)

    @property
    def class_ids(self) -> list[int]:
        """Ids of the categories that clusters may be named by, ascending: all but a background."""
        return sorted(entry['id'] for entry in self.categories if entry['name'] != BACKGROUND)

    def category_at(self, file_name: str, box: Sequence[float]) -> int | None:
        """Category id of the object that a box (x, y, width, height) overlaps most; None for an image that is unknown
        or has no object.

        Raises:
            ValueError: If an XML file is damaged.
        """
        name = self._matcher.find(file_name)
        if name is None:
            return None
        if name not in self._objects:
            file = self._files[name]
            self._objects[name] = self._chosen(voc_objects(file.read_bytes(), str(file)))
        objects = self._objects[name]
        return objects.class_at(box) if len(objects) else None

    def box_ap50(self, boxes: Iterable[tuple[str, dict[str, Any]]]) -> float | None:
        """Average precision of boxes at IoU 0.5, per class, over all images of the JSON; None for VOC's files.

        Args:
            boxes: File name of the image, and ``bbox``, ``category_id`` and ``score``; those of images that are unknown
                are left out.
        """
        ids = {image['file_name']: image['id'] for image in self.images}
        results = [dict(image_id=ids[known], **{key: entry[key] for key in ('bbox', 'category_id', 'score')})
                   for name, entry in boxes if (known := self._matcher.find(name)) in ids]
        if not results:
            return None
        found = average_precision(self.images, self._annotations, results,
                                  [entry['id'] for entry in self.categories])['AP50']
        return found if found >= 0 else None

    def _with_area(self, annotation: dict[str, Any]) -> dict[str, Any]:
        """An annotation with an area, if it has none that of its box; average precision needs one."""
        box = annotation.get('bbox')
        if not isinstance(box, list) or len(box) != 4:
            raise ValueError(f'{printable(self.path)}: annotation {annotation.get("id")} has no bbox of x, y, width '
                             'and height.')
        return dict(area=box[2] * box[3]) | annotation

    def _chosen(self, objects: Objects) -> Objects:
        # VOC's difficult objects count, as published
        return objects if self.crowds or self._files else objects.without(objects.hard)


@dataclass(frozen=True)
class MaskSet:
    """Masks of a file, and where their images are.

    Args:
        file: The file of masks.
        images: Its images.
        annotations: Its masks.
        folder: The folder that the names of images are relative to.
    """

    file: Path
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    folder: Path

    @classmethod
    def read(cls, path: str | os.PathLike, folder: str | os.PathLike, truth: GroundTruth | None = None) -> 'MaskSet':
        """Read a file of masks.

        Args:
            path: A COCO JSON; or what tools/generate_masks.py wrote, a folder with such a file; or a list of a
                detector's results, of which the best one per image is taken.
            folder: The folder of the images.
            truth: Where the images of a list of results come from.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is damaged or holds no mask, or is a list and there is no JSON of a ground truth, or an
                image is unknown.
        """
        path = Path(path).expanduser()
        path = path / InstanceFiles.joint if path.is_dir() else path
        if coco_kind(path) == 'results':
            if truth is None or not truth.images:
                raise ValueError(f'{printable(path)} is a list of results, which says nothing of its images: give the '
                                 'JSON file that lists them by --gt.')
            results = read_coco(path, 'results', truth.images).annotations
            images, annotations = truth.images, best_per_image(results)
        else:
            file = read_coco(path)
            images, annotations = file.images, file.annotations
        if not annotations:
            raise ValueError(f'{printable(path)} holds no mask.')
        return cls(path, images, annotations, Path(folder).expanduser())

    def __len__(self) -> int:
        return len(self.annotations)

    def crops(self) -> list[MaskCrop]:
        """The boxes of the masks in their images.

        Raises:
            FileNotFoundError: If images are missing; the message counts them.
            ValueError: If a box has no place in its image; the message names the mask.
        """
        images = self._images()
        crops, missing, paths = [], [], {}
        for annotation in self.annotations:
            image = images[annotation['image_id']]
            name = image['file_name']
            if name not in paths:
                paths[name] = find_image(self.folder, name)
                if paths[name] is None:
                    missing.append(name)
            size = (image['height'], image['width'])
            try:
                rows, columns = box_pixels(annotation['bbox'], size)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f'{printable(self.file)}: mask {annotation.get("id")} of {printable(name)} has no '
                                 f'usable box: {error}') from error
            crops.append(MaskCrop(str(paths[name]), size, rows, columns))
        if missing:
            raise FileNotFoundError(f'{len(missing)} of the {len(paths)} images of {printable(self.file)} are not in '
                                    f'{printable(self.folder)} ({shorten(map(printable, missing))}): give the folder '
                                    'that their names are relative to, by --images or --support-images.')
        return crops

    def targets(self, truth: GroundTruth | None) -> list[int | None]:
        """Category id of each mask by a ground truth; None where it says nothing."""
        if truth is None:
            return [None] * len(self)
        return [truth.category_at(name, annotation['bbox'])
                for name, annotation in zip(self.image_names(), self.annotations, strict=True)]

    def image_names(self) -> list[str]:
        """File name of each mask's image."""
        images = self._images()
        return [images[annotation['image_id']]['file_name'] for annotation in self.annotations]

    def _images(self) -> dict[Any, dict[str, Any]]:
        return {image['id']: image for image in self.images}


def find_image(folder: Path, name: str) -> Path | None:
    """The file of an image below a folder, also where its name was written without suffix; None if there is none."""
    for candidate in (name, *(f'{name}{suffix}' for suffix in IMAGE_SUFFIXES)):
        if (folder / candidate).is_file():
            return folder / candidate
    return None
