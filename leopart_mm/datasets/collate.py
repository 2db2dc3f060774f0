"""From samples to a batch, where images of different sizes travel together."""

from typing import Any

import torch
from mmengine.dataset import default_collate
from torch import Tensor

from leopart_mm.registry import FUNCTIONS

OF_ONE_IMAGE = ('image', 'jpeg', 'orientation', 'size')  # keys of `PackMultiCrop` that differ in size or kind


@FUNCTIONS.register_module()
def multi_crop_collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """MMEngine's `default_collate`, but images, decoded or not, are put behind each other.

    Args:
        samples: Those of `PackMultiCrop`.

    Returns:
        The batch. With ``device_crops``, ``inputs`` holds ``pixels``, all numbers of all images (H, W, C) in one tensor
        (one block of shared memory, one copy to the device), and ``shapes``, their (B, 3) sizes; see `split_images`.
        Where the device decodes JPEG files, ``pixels`` holds the other images, ``shapes`` those of all, and there are
        ``jpegs``, all bytes of all files, and ``jpeg_lengths`` and ``orientations`` (EXIF), (B,), 0 for other images.
    """
    if not any(key in sample['inputs'] for sample in samples for key in ('image', 'jpeg')):
        return default_collate(samples)
    batch = default_collate([
        dict(sample, inputs={key: value for key, value in sample['inputs'].items() if key not in OF_ONE_IMAGE})
        for sample in samples])
    every = [sample['inputs'] for sample in samples]
    nothing = torch.empty(0, dtype=torch.uint8)
    images = [one['image'].flatten() for one in every if 'image' in one]
    batch['inputs']['pixels'] = torch.cat(images) if images else nothing
    batch['inputs']['shapes'] = torch.tensor([
        one['image'].shape if 'image' in one else (*one['size'].tolist(), 3) for one in every])
    if any('jpeg' in one for one in every):
        jpegs = [one.get('jpeg', nothing) for one in every]
        batch['inputs']['jpegs'] = torch.cat(jpegs)
        batch['inputs']['jpeg_lengths'] = torch.tensor([len(jpeg) for jpeg in jpegs])
        batch['inputs']['orientations'] = torch.tensor([int(one.get('orientation', 0)) for one in every])
    return batch


def split_images(pixels: Tensor, shapes: Tensor) -> list[Tensor]:
    """The images of `multi_crop_collate` as views (H, W, C) of `pixels`."""
    sizes = shapes.tolist()
    parts = pixels.split([height * width * channels for height, width, channels in sizes])
    return [part.view(size) for part, size in zip(parts, sizes, strict=True)]
