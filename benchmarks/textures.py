"""Generated photographs: textured at every scale, so that they compress and resize as real ones do."""

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import interpolate


def textured_image(generator: torch.Generator, height: int = 375, width: int = 500) -> np.ndarray:
    """(H, W, 3) uint8, RGB: coloured noise at six scales, the coarse ones stronger."""
    noise = sum(
        interpolate(torch.rand(1, 3, 3 * 2**i, 4 * 2**i, generator=generator), (height, width), mode='bilinear')
        / 2**(i / 2) for i in range(1, 7))[0]
    scaled = (noise - noise.min()) / (noise.max() - noise.min()) * 255
    return scaled.byte().permute(1, 2, 0).numpy()


def write_jpegs(folder: Path, count: int, height: int = 375, width: int = 500) -> None:
    """Write images as JPEG files of quality 90, always the same ones."""
    from PIL import Image
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    for index in range(count):
        Image.fromarray(textured_image(generator, height, width)).save(folder / f'{index:05d}.jpg', quality=90)
