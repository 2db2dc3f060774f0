"""Masks of patches at the size of the image, and masks as COCO polygons."""

import numpy as np
from PIL import Image
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
    pixels = np.repeat(np.repeat(mask, patch, axis=0), patch, axis=1)[:height, :width]
    if tuple(size) == (height, width):
        return pixels.astype(bool)
    grey = Image.fromarray(pixels.astype(np.uint8) * 255).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(grey) > threshold


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
