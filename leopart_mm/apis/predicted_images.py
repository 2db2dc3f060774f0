"""Predicted instances, image by image: whose they are, of which size, and whether they can be used."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leopart_mm.apis.image_inputs import list_images, named_images
from leopart_mm.apis.listed_images import find_images
from leopart_mm.datasets.coco_json import coco_kind, read_coco
from leopart_mm.datasets.image_reading import ImageReadError, image_size
from leopart_mm.datasets.object_boxes import ImageMatcher
from leopart_mm.files import printable
from leopart_mm.masks.merging import LAST_CATEGORY


@dataclass
class PredictedImage:
    """An image and what was predicted in it.

    Args:
        image_id: Its id in the file of predictions.
        path: Its file.
        name: Its name below the folder of images, without suffix.
        size: (H, W) of the predictions; None until something says it.
        predictions: Entries as in a list of COCO results, in the order of the file.
    """

    image_id: Any
    path: str
    name: str = ''
    size: tuple[int, int] | None = None
    predictions: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class PredictionFile:
    """All images, those without a prediction too, and the categories.

    Args:
        path: File of the predictions.
        images: In the order of the listing.
        categories: Of the ground truth or of the file; empty where neither has any.
        num_categories: Categories are below this number.
        truth: Annotations of the ground truth.
    """

    path: Path
    images: list[PredictedImage]
    categories: list[dict[str, Any]]
    num_categories: int
    truth: list[dict[str, Any]]

    @classmethod
    def read(cls, path: str | os.PathLike, folder: str | os.PathLike, listing: str | os.PathLike | None = None,
             num_classes: int | None = None) -> 'PredictionFile':
        """Read predictions and find their images.

        Args:
            path: A list of COCO results, or a COCO JSON with images and annotations.
            folder: Folder that the names of images are relative to.
            listing: A COCO JSON (the ground truth) that says which images there are. Without it, a COCO JSON of
                predictions says so itself; in a list of results, ids must then be names of files in `folder`.
            num_classes: Categories are below this number; None: those of the listing, else at most 254.

        Raises:
            FileNotFoundError: If a file or an image is missing.
            ValueError: If a file is damaged, an image is unknown, or a category does not exist; the message says which.
        """
        path, folder = Path(path).expanduser(), Path(folder).expanduser()
        listed = None if listing is None else read_coco(Path(listing).expanduser())
        kind = coco_kind(path)
        found = read_coco(path, kind)
        source = listed if listed is not None else None if kind == 'results' else found
        images = _of_folder(folder) if source is None else _of_listing(source.images, folder, listing or path)
        categories = [] if source is None else list(source.categories)
        if num_classes is None and categories:
            num_classes = max(int(entry['id']) for entry in categories) + 1
        _check_categories(path, found.annotations, num_classes)
        _assign(path, found.annotations, images, folder if source is None else listing or path, source is None)
        names = named_images([image.path for image in images], folder).names
        for image, name in zip(images, names, strict=True):
            image.name = name
        if num_classes is None:
            num_classes = 1 + max((entry['category_id'] for entry in found.annotations), default=0)
        return cls(path, images, categories, num_classes, [] if listed is None else listed.annotations)


def size_of(image: PredictedImage) -> tuple[int, int]:
    """The size (H, W) of an image's label map: of the listing, else of its first mask, else of its file.

    Raises:
        ImageReadError: If nothing says it.
    """
    if image.size is not None:
        return image.size
    for entry in image.predictions:
        if isinstance(entry.get('segmentation'), Mapping) and 'size' in entry['segmentation']:
            height, width = entry['segmentation']['size']
            return int(height), int(width)
    size = image_size(image.path)
    if size is None:
        raise ImageReadError(image.path, 'it has no prediction that tells the size of its label map, and its own is '
                             'unknown')
    return size


def _of_folder(folder: Path) -> list[PredictedImage]:
    found = list_images(folder)
    return [PredictedImage(name, path) for path, name in zip(found.images, found.names, strict=True)]


def _of_listing(entries: Sequence[Mapping[str, Any]], folder: Path, listing: str | os.PathLike
                ) -> list[PredictedImage]:
    paths = find_images(folder, [entry['file_name'] for entry in entries], listing)
    images = []
    for entry, path in zip(entries, paths, strict=True):
        sides = entry.get('height'), entry.get('width')
        images.append(PredictedImage(entry['id'], path, size=None if None in sides else tuple(map(int, sides))))
    return images


def _check_categories(path: Path, predictions: Sequence[Mapping[str, Any]], num_classes: int | None) -> None:
    last = LAST_CATEGORY if num_classes is None else min(num_classes - 1, LAST_CATEGORY)
    for number, entry in enumerate(predictions):
        category = entry['category_id']
        if not isinstance(category, int) or not 0 <= category <= last:
            told = (f'there are {num_classes} classes (0..{num_classes - 1})' if num_classes is not None
                    and num_classes - 1 <= last else f'a label map of bytes holds 0..{last}')
            raise ValueError(f'{printable(path)}: prediction {entry.get("id", number)} of image '
                             f'{entry["image_id"]!r} has category {category!r}, but {told}.')


def _assign(path: Path, predictions: Sequence[dict[str, Any]], images: Sequence[PredictedImage],
            listing: str | os.PathLike, by_name: bool) -> None:
    """Give each image its predictions."""
    known = {image.image_id: image for image in images}
    matcher = ImageMatcher(known) if by_name else None
    for entry in predictions:
        image_id = entry['image_id']
        image = known.get(image_id)
        if image is None and matcher is not None and isinstance(image_id, str):
            image = known.get(matcher.find(image_id))
        if image is None:
            cure = ('ids are no names of files there, so give the COCO JSON that lists the images, by --gt' if by_name
                    else 'are these the predictions of other images?')
            raise ValueError(f'{printable(path)}: image id {image_id!r} is unknown to {printable(listing)}: {cure}.')
        image.predictions.append(entry)
