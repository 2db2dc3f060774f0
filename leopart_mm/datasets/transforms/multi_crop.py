"""Multi-crop with known overlaps: the geometric part of the augmentation of Leopart, NeCo and PaKA."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from torch import Tensor

from leopart_mm.datasets.samplers.draw import sample_generator
from leopart_mm.datasets.transforms.resizing import as_planes, resize_planes
from leopart_mm.geometry.crop_boxes import crop_boxes, sample_crops
from leopart_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RoIAlignedMultiCrop(BaseTransform):
    """Cut an image into global and local crops and compute the overlap of each pair (docs/methods/leopart.md §2).

    Only the geometry is done here, on the worker; colours follow in `MultiCropDataPreprocessor` on the model's device.
    Randomness: see `sample_generator`; reproducible over workers and resumes with `DrawSampler`.

    Required keys: ``img``, an array HxW or HxWxC of any C.
        uint8, or uint16 (turned into float on the scale 0..255), or float (taken to be on the scale 0..255).
    Added keys (T global crops, V in all):
        crops: V tensors (C, S, S), uint8 if the image was, else float32; RGB.
        crop_absolute: (V, 4) int64 boxes in the image's pixels.
        gc_boxes: (T, V, 4) float32, overlap of global crop t and crop v in pixels of crop t, x1 y1 x2 y2, x1 < x2.
        all_boxes: (V, T, 4) float32, the same overlap in pixels of crop v.
        flipped: (V,) bool, crops that are mirrored. Boxes are in the mirrored crop's pixels; RoIAlign therefore gives a
            mirrored grid for them, and the aligned grid of each flipped crop has to be flipped back along x before
            cells of two crops are compared. Then cell (i, j) is the same place of the image in all crops.

    Args:
        num_crops (Sequence[int]): Crops of each kind; the first kind is the global one. Defaults to (2, 4).
        sizes (Sequence[int]): Side of the crops of each kind. Defaults to (224, 96).
        scales (Sequence[tuple]): Range of the area of each kind as a share of the image's.
            Defaults to ((0.25, 1.0), (0.05, 0.25)).
        ratio (tuple): Range of width / height. Defaults to (3/4, 4/3).
        min_overlap (float): Crops are drawn until the overlap with each global crop is larger than
            ``floor(min_overlap * W * H)`` pixels (twice that between global crops). Defaults to 0.01.
        max_tries (int): Draws of a crop before the fall-back of `sample_crops`, which moves it onto the area that the
            global crops share. Defaults to 1000; the published code has no limit.
        min_containment (float): Share of a local crop that must lie in its global one (local crop i, from 0, belongs to
            global crop i mod T); it is redrawn likewise. Defaults to 0; PaKA asks for 0.9 (docs/methods/paka.md §2).
        flip_prob (float): Probability with which each crop is mirrored. Defaults to 0 (published).
        to_rgb (bool): Reverse the channels of images with three of them, which mmcv loads as BGR. Defaults to True.
        device_crops (bool): Draw the crops, but leave the cutting to `MultiCropDataPreprocessor` on the model's device.
            Instead of ``crops`` the keys ``crop_source``, the image as a tensor (H, W, C), and ``crop_sizes``, (V,)
            int64 sides of the crops, are added; boxes and flips are the same. With ``encoded`` of
            `LoadImage(device_decode=True)`, which needs this, there is no ``crop_source``. Defaults to False.
    """

    def __init__(self,
                 num_crops: Sequence[int] = (2, 4),
                 sizes: Sequence[int] = (224, 96),
                 scales: Sequence[tuple[float, float]] = ((0.25, 1.0), (0.05, 0.25)),
                 ratio: tuple[float, float] = (3 / 4, 4 / 3),
                 min_overlap: float = 0.01,
                 max_tries: int = 1000,
                 flip_prob: float = 0.,
                 to_rgb: bool = True,
                 min_containment: float = 0.,
                 device_crops: bool = False) -> None:
        if not len(num_crops) == len(sizes) == len(scales):
            raise ValueError('RoIAlignedMultiCrop: num_crops, sizes and scales must be equally long; got '
                             f'{num_crops}, {sizes}, {scales}')
        if not num_crops or num_crops[0] < 1 or min(num_crops) < 0:
            raise ValueError(f'RoIAlignedMultiCrop: at least one global crop is needed; got num_crops={num_crops}')
        for low, high in scales:
            if not 0 < low <= high <= 1:
                raise ValueError(f'RoIAlignedMultiCrop: a scale must be 0 < low <= high <= 1; got {(low, high)}')
        if not 0 <= flip_prob <= 1:
            raise ValueError(f'RoIAlignedMultiCrop: flip_prob must be in [0, 1]; got {flip_prob}')
        if not 0 <= min_containment <= 1:
            raise ValueError(f'RoIAlignedMultiCrop: min_containment must be in [0, 1]; got {min_containment}')
        if max_tries < 1:
            raise ValueError(f'RoIAlignedMultiCrop: max_tries must be at least 1; got {max_tries}')
        self.num_crops = tuple(num_crops)
        self.sizes = tuple(sizes)
        self.scales = tuple(tuple(scale) for scale in scales)
        self.ratio = tuple(ratio)
        self.min_overlap = min_overlap
        self.max_tries = max_tries
        self.min_containment = min_containment
        self.flip_prob = flip_prob
        self.to_rgb = to_rgb
        self.device_crops = device_crops

    @cache_randomness
    def draw(self, results: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (V, 4) in the image's pixels and flips (V,) of one sample."""
        height, width = results['encoded'].size if 'encoded' in results else results['img'].shape[:2]
        rng = sample_generator(results, 'RoIAlignedMultiCrop')
        absolute, _ = sample_crops(height, width, self.num_crops, self.scales, rng, self.ratio, self.min_overlap,
                                   self.max_tries, self.min_containment)
        return absolute, rng.random(len(absolute)) < self.flip_prob

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the crops and their boxes."""
        if 'encoded' in results and not (self.device_crops and self.to_rgb):
            raise ValueError('LoadImage(device_decode=True) leaves images to the device, which then has to cut their '
                             'crops, in RGB: set device_crops=True, too, or device_decode=False')
        absolute, flipped = self.draw(results)
        sides = np.repeat(self.sizes, self.num_crops)
        if self.device_crops:
            if 'encoded' not in results:
                results['crop_source'] = self.source(results['img'])
            results['crop_sizes'] = sides
        else:
            results['crops'] = self.cut(results['img'], absolute, sides.tolist(), flipped)
        results['crop_absolute'] = absolute
        results['gc_boxes'], results['all_boxes'] = crop_boxes(absolute, self.sizes, self.num_crops, flipped)
        results['flipped'] = flipped
        return results

    def cut(self, image: np.ndarray, absolute: np.ndarray, sides: list[int], flipped: np.ndarray) -> list[Tensor]:
        """The crops of an image, V tensors (C, S, S)."""
        image, crops = as_planes(image), []
        for (x1, y1, x2, y2), side, flip in zip(absolute.tolist(), sides, flipped.tolist(), strict=True):
            crop = resize_planes(image[:, y1:y2, x1:x2], (side, side))
            dims = [0] if self.to_rgb and len(crop) == 3 else []
            if flip:
                dims.append(2)
            crops.append(crop.flip(dims) if dims else crop)
        return crops

    def source(self, image: np.ndarray) -> Tensor:
        """The image (H, W, C) that `MultiCropDataPreprocessor` cuts."""
        if self.to_rgb and image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
            return torch.from_numpy(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        planes = as_planes(image)
        planes = planes.flip(0) if self.to_rgb and len(planes) == 3 else planes
        return planes.permute(1, 2, 0).contiguous()

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(num_crops={self.num_crops}, sizes={self.sizes}, scales={self.scales}, '
                f'ratio={self.ratio}, min_overlap={self.min_overlap}, max_tries={self.max_tries}, '
                f'min_containment={self.min_containment}, flip_prob={self.flip_prob}, to_rgb={self.to_rgb}, '
                f'device_crops={self.device_crops})')
