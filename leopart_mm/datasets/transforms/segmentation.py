"""Transforms of images with masks that mmcv and mmseg lack."""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from leopart_mm.datasets.samplers.draw import sample_generator
from leopart_mm.datasets.transforms.resizing import check_method, resize_image, resize_map, resize_mask
from leopart_mm.geometry.crop_boxes import Box, sample_crop
from leopart_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SegRandomResizedCrop(BaseTransform):
    """Cut out a random part of the image and its masks and resize it to a square (docs/methods/leopart.md §9).

    torchvision's RandomResizedCrop for image (bilinear, anti-aliased) and masks (nearest) alike; mmcv's RandomResize
    and RandomCrop keep the aspect ratio, and mmpretrain's RandomResizedCrop forgets the masks. Proposals are masks too
    (docs/methods/primaps.md §2.1), if `seg_fields` names them.

    Required keys: ``img``; optional: the masks named in ``seg_fields``. Changes ``img_shape`` too.

    Args:
        size: Side of the result.
        scale: Range of the area, as a share of the image's. Areas above 1 are rejected and drawn again: with (0.5, 2)
            (docs/methods/neco.md §8.1) crops cover a half of the image to all of it, and after ten rejected draws the
            whole image is taken.
        ratio: Range of width / height.
        rule: Nearest rule for masks: 'centre', as Pillow does, or 'corner', as ``F.interpolate`` does.
        method: 'torch' (default) or 'pillow', see `resize_image`; with 'pillow' masks too are resized by Pillow.

    Raises:
        ValueError: If `scale` or `method` is none of these.
    """

    def __init__(self, size: int, scale: tuple[float, float] = (0.8, 1.), ratio: tuple[float, float] = (3 / 4, 4 / 3),
                 rule: str = 'centre', method: str = 'torch') -> None:
        if not 0 < scale[0] <= min(1, scale[1]):
            raise ValueError(f'SegRandomResizedCrop: a scale must be 0 < low <= high, and low at most 1; got {scale}.')
        self.size, self.scale, self.ratio, self.rule = int(size), tuple(scale), tuple(ratio), rule
        self.method = check_method(method, 'SegRandomResizedCrop')

    @cache_randomness
    def draw(self, results: dict[str, Any]) -> Box:
        """The box to cut out, x1 y1 x2 y2."""
        rng = sample_generator(results, 'SegRandomResizedCrop')
        return sample_crop(*results['img'].shape[:2], self.scale, rng, self.ratio)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop and resize image and masks."""
        x1, y1, x2, y2 = self.draw(results)
        size = self.size, self.size
        results['img'] = resize_image(results['img'][y1:y2, x1:x2], size, self.method)
        results['img_shape'] = size
        for key in maps_of(results):
            crop = results[key][y1:y2, x1:x2]
            pillow = self.method == 'pillow'
            results[key] = resize_map(crop, size, 'pillow') if pillow else resize_mask(crop, size, self.rule)
        return results


@TRANSFORMS.register_module()
class SegRandomFlip(BaseTransform):
    """Mirror the image and its masks from left to right with a probability (docs/methods/primaps.md §2.1).

    mmseg's RandomFlip draws from numpy's global state, which depends on the number of workers; this one draws from
    the sample (see `sample_generator`).

    Required key: ``img``; optional: the masks named in ``seg_fields``. Adds ``flip`` (bool) and ``flip_direction``
    ('horizontal' or None), as mmcv does.

    Args:
        prob: Probability in 0..1.

    Raises:
        ValueError: If `prob` is not in 0..1.
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'SegRandomFlip: prob must be in 0..1, not {prob}.')
        self.prob = prob

    @cache_randomness
    def draw(self, results: dict[str, Any]) -> bool:
        """Whether this sample is mirrored."""
        return bool(sample_generator(results, 'SegRandomFlip').random() < self.prob)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Mirror image and masks, or leave them."""
        results['flip'] = self.draw(results)
        results['flip_direction'] = 'horizontal' if results['flip'] else None
        if results['flip']:
            for key in ('img', *maps_of(results)):
                results[key] = np.ascontiguousarray(results[key][:, ::-1])
        return results


@TRANSFORMS.register_module()
class ResizeSegMap(BaseTransform):
    """Resize only the masks (nearest), where the loss is computed at another size than the image's.

    Source: docs/methods/leopart.md §9.

    Args:
        size: (h, w) of the result.
        rule: Nearest rule: 'corner', as ``F.interpolate`` does (published), or 'centre', as Pillow does.
    """

    def __init__(self, size: tuple[int, int], rule: str = 'corner') -> None:
        self.size, self.rule = tuple(size), rule

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize the masks."""
        for key in results.get('seg_fields', []):
            results[key] = resize_mask(results[key], self.size, self.rule)
        return results


@TRANSFORMS.register_module()
class KeepNetworkSize(BaseTransform):
    """Let predictions stay at the size that the network sees, where the masks were resized to it too.

    mmseg resizes predictions to ``ori_shape``; the published evaluation compares them with masks of 448 x 448. With
    masks at their own size, ClusterMetric's `resize` says how the labels come to it (docs/methods/maskdistill.md §11).
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Set ``ori_shape`` to the size of the image now."""
        results['ori_shape'] = tuple(results['img'].shape[:2])
        return results


def maps_of(results: dict[str, Any]) -> list[str]:
    """Keys of all maps that lie on the pixels of the image: masks, and the pixels without data of `LoadImage`."""
    return [*results.get('seg_fields', []), *(['missing'] if results.get('missing') is not None else [])]
