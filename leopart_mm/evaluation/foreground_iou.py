"""How well masks without a class cover the foreground of label maps."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leopart_mm.datasets.coco_json import read_coco
from leopart_mm.datasets.mask_reading import read_mask
from leopart_mm.files import printable
from leopart_mm.masks.instance_shapes import segmentation_mask


@dataclass(frozen=True)
class ForegroundScore:
    """Agreement of masks with the foreground.

    Args:
        mean_iou: Mean over images of the IoU of the union of an image's masks with its foreground, 0..1; an image
            without a mask counts as 0. NaN if no image counts.
        images: Number of images in the mean.
        without_truth: Number of images without a label map, or whose map has no foreground; they do not count.
        without_mask: Number of images in the mean that have no mask.
        whole_image: The mean IoU that masks of the whole images would have, for comparison.
    """

    mean_iou: float
    images: int
    without_truth: int
    without_mask: int
    whole_image: float

    def summary(self) -> str:
        """The score in words."""
        left_out = f', {self.without_truth} images without foreground left out' if self.without_truth else ''
        return (f'foreground IoU {self.mean_iou:.3f} (the whole image: {self.whole_image:.3f}) of {self.images} '
                f'images, {self.without_mask} of them without a mask{left_out}')


def mask_iou_of_file(annotations: str | os.PathLike, labels: str | os.PathLike, background: int = 0,
                     ignore_index: int = 255) -> ForegroundScore:
    """Compare the masks of a file with label maps; categories do not matter.

    Args:
        annotations: COCO JSON, such as tools/generate_masks.py writes.
        labels: Folder of label maps, named after the images: ``<name>.png`` of ``file_name``, with or without its
            folders.
        background: Value of the background in them; all others are foreground.
        ignore_index: Value of pixels that do not count.

    Raises:
        FileNotFoundError: If the file or the folder is missing.
        MaskError: If a label map is damaged.
        ValueError: If the file is damaged, or an image and its label map differ in size; the message names them.
    """
    found, folder = read_coco(annotations), Path(labels).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f'The folder of label maps {printable(folder)} does not exist.')
    entries = found.by_image()
    scores = [_score(image, entries[image['id']], folder, background, ignore_index) for image in found.images]
    known = [score for score in scores if score is not None]
    ious, whole = np.array(known, np.float64).reshape(-1, 2).T
    empty = sum(score is not None and not entries[image['id']]
                for score, image in zip(scores, found.images, strict=True))
    mean, trivial = (float(values.mean()) if known else float('nan') for values in (ious, whole))
    return ForegroundScore(mean, len(known), len(scores) - len(known), empty, trivial)


def _score(image: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], folder: Path, background: int,
           ignore_index: int) -> tuple[float, float] | None:
    """IoU of the masks and of the whole image; None without foreground."""
    name = Path(image['file_name']).with_suffix('.png')
    file = next((path for path in (folder / name, folder / name.name) if path.is_file()), None)
    if file is None:
        return None
    truth, size = read_mask(file), (image['height'], image['width'])
    if truth.shape != size:
        raise ValueError(f'The label map {printable(file)} has {truth.shape[0]} x {truth.shape[1]} pixels, its image '
                         f'{printable(image["file_name"])} {size[0]} x {size[1]} (height x width): scores need equal '
                         'sizes.')
    counts = truth != ignore_index
    foreground = counts & (truth != background)
    if not foreground.any():
        return None
    masks = np.zeros(size, bool)
    for entry in entries:
        masks |= segmentation_mask(entry['segmentation'], size)
    masks &= counts
    return (np.count_nonzero(masks & foreground) / np.count_nonzero(masks | foreground),
            np.count_nonzero(foreground) / np.count_nonzero(counts))
