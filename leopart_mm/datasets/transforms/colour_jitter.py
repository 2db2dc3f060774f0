"""Colour jitter of whole images, in pipelines that keep masks."""

from collections.abc import Callable
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf

from leopart_mm.datasets.samplers.draw import sample_generator
from leopart_mm.datasets.transforms.resizing import as_planes
from leopart_mm.registry import TRANSFORMS

# In the order in which they are applied.
OPERATIONS: dict[str, Callable[[Tensor, float], Tensor]] = dict(
    brightness=tvf.adjust_brightness, contrast=tvf.adjust_contrast, saturation=tvf.adjust_saturation,
    hue=tvf.adjust_hue)


@TRANSFORMS.register_module()
class RandomColourJitter(BaseTransform):
    """Change brightness, contrast, saturation and hue, each with probability `prob` (docs/methods/neco.md §8.1).

    Required key: ``img``, (H, W, 3) uint8 BGR. Randomness: see `sample_generator`.

    Args:
        brightness, contrast, saturation: Strength b; the factor is uniform in 1 - b .. 1 + b.
        hue: Strength; the shift is uniform in -hue .. hue of the colour circle.
        prob: Probability of each of the four, independently.

    Raises:
        ValueError: If a strength is not in 0..1 (hue: 0..0.5), or `prob` is not in 0..1.
    """

    def __init__(self,
                 brightness: float = 0.1,
                 contrast: float = 0.1,
                 saturation: float = 0.1,
                 hue: float = 0.1,
                 prob: float = 0.5) -> None:
        self.strengths = dict(brightness=brightness, contrast=contrast, saturation=saturation, hue=hue)
        for name, value, high in (*((name, self.strengths[name], 1.) for name in OPERATIONS if name != 'hue'),
                                  ('hue', hue, 0.5), ('prob', prob, 1.)):
            if not 0 <= value <= high:
                raise ValueError(f'RandomColourJitter: {name} must be in 0..{high:g}, not {value}.')
        self.prob = prob

    @cache_randomness
    def draw(self, results: dict[str, Any]) -> dict[str, float]:
        """Factors (and shift) of the operations that are applied."""
        rng = sample_generator(results, 'RandomColourJitter')
        chosen, amounts = rng.random(len(OPERATIONS)) < self.prob, 2 * rng.random(len(OPERATIONS)) - 1
        return {name: (name != 'hue') + self.strengths[name] * float(amount)
                for name, is_chosen, amount in zip(OPERATIONS, chosen, amounts, strict=True) if is_chosen}

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Jitter the image."""
        image = as_planes(results['img'][..., ::-1])
        for name, amount in self.draw(results).items():
            image = OPERATIONS[name](image, amount)
        results['img'] = np.ascontiguousarray(image.permute(1, 2, 0).numpy()[..., ::-1])
        return results
