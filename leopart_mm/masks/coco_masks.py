"""Masks of patches at the size of the image, and masks as COCO annotations."""

from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from skimage.measure import approximate_polygon, find_contours


def resize_patch_mask(mask: np.ndarray, patch: int, resized_size: tuple[int, int], size: tuple[int, int],
                      threshold: int = 0) -> np.ndarray:
    """A mask of patches at the pixels of the original image (docs/methods/maskdistill.md §4 steps 1-2).

    Args:
        mask: (rows, columns) bool.
        patch: Side of a patch in pixels.
        resized_size: (height, width) of the network's image without padding.
        size: (height, width) of the original image.
        threshold: Pixels whose bicubic value (0..255) is above it are object: 0 as published, 127 is the middle.

    Returns:
        (height, width) bool.

    Raises:
        ValueError: If the patches do not cover the resized image.
    """
    height, width = resized_size
    if mask.shape[0] * patch < height or mask.shape[1] * patch < width:
        raise ValueError(f'{mask.shape[0]} x {mask.shape[1]} patches of {patch} pixels do not cover an image of '
                         f'{height} x {width}.')
    return resize_object(np.repeat(np.repeat(mask, patch, axis=0), patch, axis=1)[:height, :width], size, threshold)


def resize_object(mask: np.ndarray, size: tuple[int, int], threshold: int = 0) -> np.ndarray:
    """A mask at another size, by Pillow's bicubic filter with anti-aliasing (docs/methods/maskdistill.md §4 step 2).

    Args:
        mask: (h, w) bool.
        size: (height, width) of the result.
        threshold: As in `resize_patch_mask`.

    Returns:
        (height, width) bool; the mask itself at equal size.
    """
    if tuple(size) == mask.shape:
        return mask.astype(bool)
    grey = Image.fromarray(mask.astype(np.uint8) * 255).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(grey) > threshold


def object_annotation(mask: np.ndarray, category: int = 0, shape: str = 'rle') -> dict[str, Any] | None:
    """An annotation without ids (docs/methods/maskdistill.md §4 steps 3 and 4).

    Args:
        mask: (H, W) bool.
        category: Its id.
        shape: 'rle' (compressed run lengths) or 'polygons' (`mask_polygons`). Area and box are those of the mask.

    Returns:
        None if the mask is empty or no polygon is left.

    >>> object_annotation(np.array([[0, 1, 1], [0, 1, 0]], bool))['segmentation']
    {'size': [2, 3], 'counts': '231'}
    """
    lengths = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    height, width = mask.shape
    outline = mask_polygons(mask) if shape == 'polygons' else dict(size=[height, width],
                                                                   counts=lengths['counts'].decode())
    if not outline or not mask.any():
        return None
    return dict(score=1., category_id=category, iscrowd=0, area=int(mask.sum()),
                bbox=coco_mask.toBbox(lengths).tolist(), segmentation=outline, width=width, height=height)


def mask_polygons(mask: np.ndarray, tolerance: float = 2.) -> list[list[float]]:
    """The outlines of a mask as COCO polygons, as published (docs/methods/maskdistill.md §4 step 4).

    Holes become filled polygons, details below `tolerance` are lost, and the smallest masks decode to nothing: RLE
    keeps the mask itself.

    Args:
        mask: (H, W) bool.
        tolerance: Of the Douglas-Peucker approximation, in pixels.

    Returns:
        Polygons [x0, y0, x1, y1, ...]; none if no outline has three points.
    """
    polygons = []
    for contour in find_contours(np.pad(mask.astype(np.uint8), 1), 0.5):
        contour = contour - 1
        if not np.array_equal(contour[0], contour[-1]):
            contour = np.vstack([contour, contour[:1]])
        contour = approximate_polygon(contour, tolerance)
        if len(contour) >= 3:
            polygons.append(np.maximum(contour[:, ::-1], 0).ravel().tolist())
    return polygons
