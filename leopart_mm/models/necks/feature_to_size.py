"""Necks between a ViT's patch maps and mmseg's decoders."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from leopart_mm.registry import MODELS


@MODELS.register_module()
class FeatureToSize(BaseModule):
    """Resizes every map to a fixed size, at which the head then works (docs/methods/leopart.md §9).

    Args:
        size: (h, w) in training; None keeps the maps.
        eval_size: (h, w) in evaluation; None keeps the maps: for a 1x1 convolution resizing maps or logits gives the
            same, but the logits are fewer.
        mode: Mode of ``F.interpolate``.
    """

    def __init__(self,
                 size: tuple[int, int] | None = (100, 100),
                 eval_size: tuple[int, int] | None = None,
                 mode: str = 'bilinear',
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.size = None if size is None else tuple(size)
        self.eval_size = None if eval_size is None else tuple(eval_size)
        self.mode = mode

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps (B, C, h, w) to maps (B, C, *size)."""
        size = self.size if self.training else self.eval_size
        if size is None:
            return tuple(maps)
        aligned = False if self.mode in ('bilinear', 'bicubic') else None
        return tuple(F.interpolate(level, size, mode=self.mode, align_corners=aligned) for level in maps)


@MODELS.register_module()
class MeanReadout(BaseModule):
    """Pairs every map with the mean of its cells, where a head such as mmseg's DPTHead expects (map, class token)."""

    def forward(self, maps: Sequence[Tensor]) -> tuple[tuple[Tensor, Tensor], ...]:
        """Maps (B, C, h, w) to pairs of the map and (B, C)."""
        return tuple((level, level.mean((2, 3))) for level in maps)
