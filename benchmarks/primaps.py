"""Principal mask proposals of a batch of images, up to their log-probabilities per cell."""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from benchmarks.base import Benchmark, benchmark

THRESHOLD = 0.4


def scenes(images: int, channels: int, grid: int, objects: int = 9, seed: int = 0) -> Tensor:
    """(N, C, grid, grid) float32: smooth regions of a few kinds, with variation inside and noise, around one mean."""
    import cv2
    generator = np.random.default_rng(seed)
    result = np.empty((images, grid, grid, channels), np.float32)
    common = generator.standard_normal(channels, np.float32)
    for index in range(images):
        fields = generator.standard_normal((6, 6, objects), np.float32)
        labels = cv2.resize(fields, (grid, grid)).reshape(grid, grid, objects).argmax(2)
        centres = generator.standard_normal((objects, channels), np.float32)
        inside = cv2.resize(generator.standard_normal((5, 5, 8), np.float32), (grid, grid))
        styles = generator.standard_normal((8, channels), np.float32)
        noise = generator.standard_normal((grid, grid, channels), np.float32)
        result[index] = 0.5 * common + centres[labels] + 0.4 * inside @ styles + 0.5 * noise
    return torch.from_numpy(result).permute(0, 3, 1, 2).contiguous()


@benchmark('primaps')
class PrimapsBenchmark(Benchmark):
    """Principal masks of 8 images, 40 x 40 cells, 384 channels (ViT-S/8 at 320 px), ours as a batch."""

    expected: ClassVar[float] = 25.
    rounds: ClassVar[int] = 2
    repeats: ClassVar[int] = 1
    threads: ClassVar[int | None] = 1
    clock: ClassVar[str] = 'cpu'  # both compute on one core throughout: other load must not decide
    devices: ClassVar[tuple[str, ...]] = ('cpu', 'cuda')
    compared: ClassVar[str] = 'with the same signs: masks and anchors equal, log-probabilities within 1e-5'

    def setup(self, quick: bool) -> None:
        """Features, and the signs of both sides: those of our default, from a run that is not measured."""
        from leopart_mm.masks.principal import PrincipalSettings, principal_masks
        self.settings = PrincipalSettings(THRESHOLD)
        self.features = scenes(*(3, 64, 12) if quick else (8, 384, 40)).to(self.device)
        self.signs = [masks.directions for masks in principal_masks(self.features, self.settings)]

    def ours(self) -> list[Any]:
        """The batch at once."""
        from leopart_mm.masks.principal import principal_masks
        from leopart_mm.masks.principal_cleaning import mask_log_probs
        found = principal_masks(self.features, self.settings, self.signs)
        return [((masks.soft_masks > 0).cpu().numpy(), mask_log_probs(masks.soft_masks, self.settings).cpu().numpy())
                for masks in found]

    def baseline(self) -> list[Any]:
        """One image at a time."""
        from benchmarks import published_primaps as published
        torch.manual_seed(0)
        result = []
        for features, signs in zip(self.features, self.signs, strict=True):
            masks = published.published_masks(features, THRESHOLD, signs)[0]
            result.append(((masks > 0).cpu().numpy(), published.published_log_probs(masks).cpu().numpy()))
        return result

    def same(self, ours: list[Any], baseline: list[Any]) -> bool:
        """Masks and log-probabilities."""
        return all(np.array_equal(a[0], b[0]) and np.abs(a[1] - b[1]).max() <= 1e-5
                   for a, b in zip(ours, baseline, strict=True))

    def details(self) -> list[str]:
        """How many masks there are."""
        return [f'masks per image: {", ".join(str(len(signs)) for signs in self.signs)}']
