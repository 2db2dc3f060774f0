"""Resizing to one of two sizes, by the image's orientation."""

from typing import Any

from mmcv.transforms import BaseTransform, Resize

from leopart_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ResizeOriented(BaseTransform):
    """Resize landscape images to ``scale`` and portrait images to the transposed size, without keeping the ratio.

    mmcv's Resize with ``keep_ratio=False`` would press portrait images into landscape.

    Args:
        scale: (long side, short side) in pixels.
        **kwargs: Arguments of mmcv's Resize (interpolation, backend).

    Raises:
        ValueError: If the first side is the shorter one.
    """

    def __init__(self, scale: tuple[int, int], **kwargs: Any) -> None:
        long, short = scale
        if long < short:
            raise ValueError(f'ResizeOriented: scale={tuple(scale)} must be (long side, short side).')
        self.landscape = Resize(scale=(long, short), keep_ratio=False, **kwargs)
        self.portrait = Resize(scale=(short, long), keep_ratio=False, **kwargs)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize image (and masks loaded before)."""
        height, width = results['img'].shape[:2]
        return (self.landscape if width >= height else self.portrait).transform(results)
