"""From images of any shape to squares of one size, without changing their aspect."""

from typing import Any

from mmcv.transforms import BaseTransform

from leopart_mm.datasets.transforms.resizing import check_method, resize_image, resize_map
from leopart_mm.datasets.transforms.segmentation import maps_of
from leopart_mm.geometry.image_part import WHOLE, part_within
from leopart_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ResizeShorterSide(BaseTransform):
    """Resize the image and its maps so that the shorter side has `size` pixels (docs/methods/primaps.md §2.1, §2.2).

    The longer side becomes floor(size * long / short). Required key: ``img``; optional: the masks named in
    ``seg_fields``. Changes ``img_shape``, adds ``scale_factor`` (x, y).

    Args:
        size: The shorter side, in pixels.
        method: 'pillow' (default; published for training), 'torch', 'float' (published for validation, with today's
            anti-aliasing) or 'aliased' (published for validation), see `resize_image`. Maps follow the nearest rule
            of their method.

    Raises:
        ValueError: If `size` is not positive, or `method` unknown.
    """

    def __init__(self, size: int, method: str = 'pillow') -> None:
        if size < 1:
            raise ValueError(f'ResizeShorterSide: size must be at least 1 pixel, not {size}.')
        self.size, self.method = int(size), check_method(method, 'ResizeShorterSide')

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize image and maps."""
        height, width = results['img'].shape[:2]
        size = shorter_side((height, width), self.size)
        results['img'] = resize_image(results['img'], size, self.method)
        for key in maps_of(results):
            results[key] = resize_map(results[key], size, self.method)
        results['img_shape'], results['keep_ratio'] = size, True
        results['scale_factor'] = size[1] / width, size[0] / height
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size}, method={self.method!r})'


@TRANSFORMS.register_module()
class CentreCrop(BaseTransform):
    """Cut the square in the middle out of the image and its maps (docs/methods/primaps.md §2.2).

    The upper left corner is at round((height - size) / 2), half to even, and likewise for the columns. mmcv's
    CenterCrop forgets all masks but one. Required key: ``img``; optional: the masks named in ``seg_fields``. Adds
    ``crop_box``: which part of the file is left, as shares (top, bottom, left, right), for pictures and label maps.

    Args:
        size: Side of the square, in pixels.

    Raises:
        ValueError: If an image has a shorter side; the message names it.
    """

    def __init__(self, size: int) -> None:
        self.size = int(size)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Cut image and maps."""
        height, width = results['img'].shape[:2]
        if min(height, width) < self.size:
            raise ValueError(f'CentreCrop: the image {results.get("img_path", "")} has {height} x {width} pixels, less '
                             f'than a square of {self.size}: put ResizeShorterSide(size={self.size}) before it.')
        top, left = (round((side - self.size) / 2) for side in (height, width))
        for key in ('img', *maps_of(results)):
            results[key] = results[key][top:top + self.size, left:left + self.size]
        inner = top / height, (top + self.size) / height, left / width, (left + self.size) / width
        results['crop_box'] = part_within(results.get('crop_box', WHOLE), inner)
        results['img_shape'] = self.size, self.size
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size})'


def shorter_side(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(height, width) after resizing so that the shorter of them is `side`; the longer one is rounded down.

    >>> shorter_side((1024, 2048), 320), shorter_side((53, 37), 24)
    ((320, 640), (34, 24))
    """
    short = min(size)
    return side * size[0] // short, side * size[1] // short
