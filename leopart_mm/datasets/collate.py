"""From samples to a batch, where images of different sizes travel together."""

from typing import Any

import torch
from mmengine.dataset import default_collate
from torch import Tensor

from leopart_mm.registry import FUNCTIONS


@FUNCTIONS.register_module()
def multi_crop_collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """MMEngine's `default_collate`, but for decoded images, which are put behind each other.

    Args:
        samples: Those of `PackMultiCrop`.

    Returns:
        The batch. With ``device_crops``, ``inputs`` holds ``pixels``, all numbers of all images (H, W, C) in one tensor
        (one block of shared memory, one copy to the device), and ``shapes``, their (B, 3) sizes; see `split_images`.
    """
    if 'image' not in samples[0]['inputs']:
        return default_collate(samples)
    images = [sample['inputs']['image'] for sample in samples]
    batch = default_collate([
        dict(sample, inputs={key: value for key, value in sample['inputs'].items() if key != 'image'})
        for sample in samples])
    batch['inputs']['pixels'] = torch.cat([image.flatten() for image in images])
    batch['inputs']['shapes'] = torch.tensor([image.shape for image in images])
    return batch


def split_images(pixels: Tensor, shapes: Tensor) -> list[Tensor]:
    """The images of `multi_crop_collate` as views (H, W, C) of `pixels`."""
    sizes = shapes.tolist()
    parts = pixels.split([height * width * channels for height, width, channels in sizes])
    return [part.view(size) for part, size in zip(parts, sizes, strict=True)]
