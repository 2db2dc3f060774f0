"""Features of images seen twice: as they are, and as a random part of them in other colours."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class SecondView:
    """How the second view of an image is made.

    Args:
        box: (x0, y0, x1, y1), the part that is seen, relative to the image's width and height.
        flip: Whether it is mirrored left to right.
        gain: Factors of the channels.
        contrast: Factor of the distance to the image's mean.
        grey: Share of the colour that is replaced by grey, 0..1.
    """

    box: tuple[float, float, float, float]
    flip: bool
    gain: tuple[float, ...]
    contrast: float
    grey: float

    @classmethod
    def draw(cls, generator: np.random.Generator, channels: int = 3) -> 'SecondView':
        """A random view: 60 to 90 % of each side, mirrored or not, in changed colours."""
        width, height = generator.uniform(0.6, 0.9, 2)
        x, y = generator.uniform(0, 1 - width), generator.uniform(0, 1 - height)
        return cls((x, y, x + width, y + height), bool(generator.random() < 0.5),
                   tuple(generator.uniform(0.7, 1.3, channels).tolist()), float(generator.uniform(0.6, 1.4)),
                   float(generator.uniform(0, 0.8)))

    def places(self, grid: tuple[int, int]) -> np.ndarray:
        """(h, w, 2): where the centres of its patches lie in the image, as (x, y) in 0..1."""
        rows, columns = (np.arange(grid[0]) + 0.5) / grid[0], (np.arange(grid[1]) + 0.5) / grid[1]
        if self.flip:
            columns = 1 - columns
        x0, y0, x1, y1 = self.box
        y, x = np.meshgrid(y0 + rows * (y1 - y0), x0 + columns * (x1 - x0), indexing='ij')
        return np.stack([x, y], -1)


@dataclass
class SeenTwice:
    """Features of one image, in float32 on the CPU.

    Args:
        first: (h, w, C), of the image as it is.
        second: (h, w, C), of its second view.
        places: (h, w, 2): where the patches of the second view lie in the image, as (x, y) in 0..1.
        colours: (h, w, channels), mean of the image within each patch of the first view.
    """

    first: Tensor
    second: Tensor
    places: Tensor
    colours: Tensor


@torch.no_grad()
def see_twice(backbone: nn.Module, images: Iterable[np.ndarray], mean: Tensor, std: Tensor, size: int = 224,
              seed: int = 0, index: int = -1) -> list[SeenTwice]:
    """Dense features of images and of a random view of each.

    Each image goes through the network alone, so that nothing depends on batches. The view of the image at place n of
    `images` depends on the seed and n only.

    Args:
        backbone: A dense backbone with `forward_dense` and `patch_size`, in evaluation mode.
        images: (H, W, channels) uint8 or float, in the order of `mean`.
        mean: (channels, ...), on the images' scale.
        std: (channels, ...).
        size: Side in pixels of a square that has about as many pixels as the resized image.
        seed: Seed of the views.
        index: Which of the backbone's maps counts.

    Returns:
        One entry per image.
    """
    device = next(backbone.parameters()).device
    mean, std = mean.reshape(-1, 1, 1).to(device), std.reshape(-1, 1, 1).to(device)
    patch = backbone.patch_size
    found = []
    for number, image in enumerate(images):
        view = SecondView.draw(np.random.default_rng([seed, number]), image.shape[-1])
        height, width = fitting_size(image.shape[:2], size, patch)

        def features(pixels: np.ndarray) -> Tensor:
            tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).to(device)
            maps = backbone.forward_dense(((tensor - mean) / std)[None]).maps
            return maps[index][0].float().permute(1, 2, 0).cpu()

        whole = resize(image, (height, width))
        first, second = features(whole), features(second_view(image, view, (height, width)))
        grid = tuple(first.shape[:2])
        colours = F.adaptive_avg_pool2d(torch.from_numpy(whole).permute(2, 0, 1)[None], grid)[0].permute(1, 2, 0)
        found.append(SeenTwice(first, second, torch.from_numpy(view.places(grid)).float(), colours))
    return found


def fitting_size(shape: Sequence[int], size: int, patch: int) -> tuple[int, int]:
    """(height, width) near the image's ratio, in whole patches, with about size x size pixels.

    >>> fitting_size((213, 320), 224, 16), fitting_size((10, 4000), 224, 16)
    ((176, 272), (64, 784))
    """
    ratio = min(max((shape[1] / shape[0]) ** 0.5, 1 / 3.5), 3.5)
    return tuple(patch * max(1, round(side / patch)) for side in (size / ratio, size * ratio))


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, channels) resized to (height, width), float32; without stairs where it shrinks."""
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    resized = cv2.resize(image.astype(np.float32), size[::-1],
                         interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return resized.reshape(*size, image.shape[-1])


def second_view(image: np.ndarray, view: SecondView, size: tuple[int, int]) -> np.ndarray:
    """The pixels of a view, (height, width, channels) float32."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (round(value * side) for value, side in zip(view.box, (width, height) * 2, strict=True))
    part = resize(image[y0:max(y1, y0 + 1), x0:max(x1, x0 + 1)], size)
    if view.flip:
        part = part[:, ::-1]
    middle = part.mean((0, 1), keepdims=True)
    part = ((part - middle) * view.contrast + middle) * np.float32(view.gain)
    return part + view.grey * (part.mean(-1, keepdims=True) - part)


def sample_evenly(count: int, wanted: int, seed: int) -> list[int]:
    """Places of at most `wanted` of `count` images, in random order, the same ones for a seed."""
    return np.random.default_rng(seed).permutation(count)[:wanted].tolist()
