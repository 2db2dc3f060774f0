"""Random rotation and scale of images with their masks (docs/methods/maskdistill.md §8.3)."""

from typing import Any, Protocol

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from leopart_mm.datasets.samplers.draw import sample_generator
from leopart_mm.datasets.transforms.segmentation import maps_of
from leopart_mm.registry import TRANSFORMS

OPENCV_CHANNELS = 4  # more it does not transform at once


class UniformGenerator(Protocol):
    """numpy's generators, new and old."""

    def random(self) -> float:
        """A number in [0, 1)."""


def draw_affine(rng: UniformGenerator, rotation: float, scale: tuple[float, float]) -> tuple[float, float]:
    """An angle in [-rotation, rotation) degrees, then a scale in [low, high)."""
    return 2 * rotation * rng.random() - rotation, (scale[1] - scale[0]) * rng.random() + scale[0]


def affine_matrix(size: tuple[int, int], rotation: float, scale: float) -> np.ndarray:
    """The (2, 3) matrix of a rotation (degrees, counter-clockwise) and scale about (w/2, h/2), of images of (h, w)."""
    return cv2.getRotationMatrix2D((size[1] / 2, size[0] / 2), rotation, scale)


def affine_image(image: np.ndarray, matrix: np.ndarray, border: float = 0.) -> np.ndarray:
    """An image (H, W, C) under a (2, 3) matrix, cubic; what comes from outside is `border`."""
    parts = [image[..., start:start + OPENCV_CHANNELS] for start in range(0, image.shape[2], OPENCV_CHANNELS)]
    warped = [cv2.warpAffine(part, matrix, image.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT,
                             borderValue=(border, ) * OPENCV_CHANNELS) for part in parts]
    return np.concatenate([part.reshape(*image.shape[:2], -1) for part in warped], axis=2)


def affine_map(labels: np.ndarray, matrix: np.ndarray, border: int) -> np.ndarray:
    """A label map (H, W) under a (2, 3) matrix, nearest; what comes from outside is `border`."""
    warped = cv2.warpAffine(labels.astype(np.uint8, copy=False), matrix, labels.shape[::-1], flags=cv2.INTER_NEAREST,
                            borderMode=cv2.BORDER_CONSTANT, borderValue=int(border))
    return warped.astype(labels.dtype, copy=False)


@TRANSFORMS.register_module()
class SegRandomAffine(BaseTransform):
    """Rotate and scale image and masks about their centre, at the same size (docs/methods/maskdistill.md §8.3).

    The image is interpolated cubically, masks take the nearest pixel. Numbers are drawn from the sample, see
    `sample_generator`. Required key: ``img``; optional: the masks named in ``seg_fields``.

    Args:
        rotation: Largest angle, in degrees.
        scale: Range of the scale.
        border: Label of what comes from outside of the image: 255 (ignored), or 0 (background) as published.
        image_border: Colour of it, 0..255.

    Raises:
        ValueError: If `rotation`, `scale` or `border` is out of its range.
    """

    def __init__(self, rotation: float = 5., scale: tuple[float, float] = (0.75, 1.25), border: int = 255,
                 image_border: float = 0.) -> None:
        if rotation < 0 or not 0 < scale[0] <= scale[1]:
            raise ValueError(f'SegRandomAffine: rotation={rotation} must be at least 0, and scale={tuple(scale)} '
                             '0 < low <= high.')
        if not 0 <= border <= 255:
            raise ValueError(f'SegRandomAffine: border={border} must be a label, 0..255.')
        self.rotation, self.scale, self.border, self.image_border = rotation, tuple(scale), border, image_border

    @cache_randomness
    def draw(self, results: dict[str, Any]) -> tuple[float, float]:
        """Angle and scale of this sample."""
        return draw_affine(sample_generator(results, 'SegRandomAffine'), self.rotation, self.scale)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Turn and scale image and masks."""
        matrix = affine_matrix(results['img'].shape[:2], *self.draw(results))
        results['img'] = affine_image(results['img'], matrix, self.image_border)
        for key in maps_of(results):
            border = True if key == 'missing' else self.border
            results[key] = affine_map(results[key], matrix, border)
        return results
