"""The pixels of an annotated instance: those of its mask, of its box, or what GrabCut finds in the box.

Source: docs/methods/maskdistill.md §7.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

SHAPES = ('mask', 'box', 'grabcut')
GRABCUT_STEPS = 5


def run_lengths(segmentation: Any, size: tuple[int, int]) -> dict[str, Any]:
    """An annotation's ``segmentation``, in any of COCO's forms, as compressed run lengths.

    Args:
        segmentation: Run lengths (compressed or not), or a list of polygons, which are joined.
        size: (H, W) of the image.

    Raises:
        ValueError: If it is of another size, or of no such form.
    """
    height, width = size
    try:
        if isinstance(segmentation, Mapping):
            if tuple(segmentation['size']) != (height, width):
                found = ' x '.join(map(str, segmentation['size']))
                raise ValueError(f'its mask has {found} pixels, its image {height} x {width} (height x width)')
            counts = segmentation['counts']
            if isinstance(counts, list):
                if min(counts, default=0) < 0 or sum(counts) != height * width:
                    raise ValueError(f'its run lengths of {sum(counts)} pixels do not fill {height} x {width}')
                return coco_mask.frPyObjects(dict(size=[height, width], counts=counts), height, width)
            if coco_mask.area(segmentation) > height * width:
                raise ValueError(f'its run lengths cover more than {height} x {width} pixels')
            return dict(segmentation)
        if not segmentation:
            return coco_mask.encode(np.zeros(size, np.uint8, order='F'))
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f'its segmentation is neither run lengths nor a list of polygons ({error!r})') from error


def segmentation_mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """The mask (H, W) bool of an annotation's ``segmentation``; see `run_lengths`.

    >>> segmentation_mask(dict(size=[2, 3], counts=[2, 3, 1]), (2, 3)).astype(int).tolist()
    [[0, 1, 1], [0, 1, 0]]
    >>> segmentation_mask([[0, 0, 2, 0, 2, 1, 0, 1]], (2, 3)).astype(int).tolist()
    [[1, 1, 0], [0, 0, 0]]
    """
    return coco_mask.decode(run_lengths(segmentation, size)).astype(bool)


def instance_box(annotation: Mapping[str, Any], size: tuple[int, int]) -> list[float]:
    """The box of an annotation as x, y, width, height: its ``bbox``, else that of its mask.

    >>> instance_box(dict(segmentation=dict(size=[2, 3], counts=[2, 3, 1])), (2, 3))
    [1.0, 0.0, 2.0, 2.0]
    """
    box = annotation.get('bbox')
    if box is None:
        box = coco_mask.toBbox(run_lengths(annotation['segmentation'], size))
    return [float(value) for value in box]


def box_mask(box: Sequence[float], size: tuple[int, int]) -> np.ndarray:
    """The pixels of a box: rows round(y)..round(y + height), the last one included, columns likewise.

    Args:
        box: x, y, width, height; halves are rounded to even.
        size: (H, W) of the image, at which the box is cut.

    >>> box_mask([0.5, 1, 1, 0], (3, 4)).astype(int).tolist()
    [[0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]]
    """
    x, y, width, height = map(float, box)
    mask = np.zeros(size, bool)
    mask[max(round(y), 0):max(round(y + height) + 1, 0), max(round(x), 0):max(round(x + width) + 1, 0)] = True
    return mask


def grabcut_mask(image: np.ndarray, box: Sequence[float], steps: int = GRABCUT_STEPS) -> np.ndarray:
    """What GrabCut takes for the object in a box, surely or probably.

    Args:
        image: (H, W, 3) uint8.
        box: x, y, width, height; rounded, halves up. What is outside is background.
        steps: Iterations.

    Returns:
        (H, W) bool; empty where OpenCV cannot tell, as for a box that covers the whole image or nothing of it.
    """
    labels = np.zeros(image.shape[:2], np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # its k-means draws from OpenCV's generator
    try:
        cv2.grabCut(image, labels, [int(np.floor(value + 0.5)) for value in box], *models, steps, cv2.GC_INIT_WITH_RECT)
    except cv2.error:
        return np.zeros(image.shape[:2], bool)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def instance_mask(annotation: Mapping[str, Any], size: tuple[int, int], shape: str = 'mask',
                  image: np.ndarray | None = None) -> np.ndarray:
    """The pixels (H, W) bool of an annotation.

    Args:
        annotation: As in a COCO JSON.
        size: (H, W) of the image.
        shape: One of `SHAPES`.
        image: (H, W, 3) uint8, for 'grabcut'.

    Raises:
        ValueError: If the shape is unknown, or the segmentation is of another size or form.
    """
    if shape == 'mask':
        return segmentation_mask(annotation['segmentation'], size)
    if shape == 'box':
        return box_mask(instance_box(annotation, size), size)
    if shape == 'grabcut':
        return grabcut_mask(image, instance_box(annotation, size))
    raise ValueError(f'shape={shape!r} is unknown; known are: {", ".join(SHAPES)}.')
