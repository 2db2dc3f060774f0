"""Resizing of images and of the maps that belong to them, as Pillow or as torch does it."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from leopart_mm.geometry.patch_grid import upsample_labels

# What makes the pixels of an image, and the nearest rule of its maps.
METHODS = dict(pillow='centre', torch='centre', float='corner', aliased='corner')


def check_method(method: str, owner: str) -> str:
    """The method, if there is one of this name.

    Raises:
        ValueError: If there is none; the message names `owner` and all methods.
    """
    if method not in METHODS:
        raise ValueError(f'{owner}: method={method!r} must be one of {", ".join(METHODS)}.')
    return method


def resize_image(image: np.ndarray, size: tuple[int, int], method: str = 'pillow') -> np.ndarray:
    """Resize an image (H, W, C) to `size` = (h, w), bilinear (align_corners False).

    Args:
        image: uint8, uint16 (turned into float on the scale 0..255) or float.
        size: (h, w) of the result.
        method: 'pillow': Pillow, anti-aliased; of images that are not uint8 with three channels: 'torch'.
            'torch': torch's anti-aliased kernel, within a grey level of Pillow's; uint8 stays uint8.
            'float': the same without rounding, float32 on the scale of the image, as torchvision resizes tensors now.
            'aliased': without rounding and without anti-aliasing, as torchvision before 0.17 resizes tensors.

    Returns:
        (h, w, C), contiguous.
    """
    if method == 'pillow' and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return np.array(Image.fromarray(np.ascontiguousarray(image)).resize(size[::-1], Image.Resampling.BILINEAR))
    planes = as_planes(image)
    if method in ('float', 'aliased'):
        planes = planes.float()
    return np.ascontiguousarray(resize_planes(planes, size, method != 'aliased').permute(1, 2, 0).numpy())


def resize_planes(planes: Tensor, size: tuple[int, int], antialias: bool = True) -> Tensor:
    """Resize (C, H, W) to (C, h, w), bilinear; with anti-aliasing PIL's result, to the rounding of uint8.

    torch's kernel for uint8 agrees with PIL to 0.002 grey levels on average and takes a third of its time; OpenCV's
    INTER_AREA (0.2-0.5 levels away) is slower, its INTER_LINEAR aliases.
    """
    return F.interpolate(planes[None], size, mode='bilinear', antialias=antialias, align_corners=False)[0]


def as_planes(image: np.ndarray) -> Tensor:
    """An image array HxW or HxWxC as a (C, H, W) tensor without copying uint8; other types become float32.

    uint16 is scaled to 0..255, floats are left as they are.

    Raises:
        ValueError: If the image is empty or does not have 2 or 3 dimensions.
        TypeError: If the pixels are not uint8, uint16 or float.
    """
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f'an image must be a non-empty HxW or HxWxC array; got the shape {image.shape}')
    if image.ndim == 2:
        image = image[..., None]
    if image.dtype == np.uint16:
        image = image.astype(np.float32) / 257
    elif image.dtype.kind == 'f':
        image = image.astype(np.float32, copy=False)
    elif image.dtype != np.uint8:
        raise TypeError(f'an image must be uint8, uint16 or float; got {image.dtype}')
    # torch takes neither negative strides (a flipped view) nor read-only memory without complaint
    if not image.flags.writeable or min(image.strides) < 0:
        image = image.copy()
    return torch.from_numpy(image).permute(2, 0, 1)


def resize_map(labels: np.ndarray, size: tuple[int, int], method: str = 'pillow') -> np.ndarray:
    """Resize a map of labels (H, W) to `size` = (h, w), nearest, by the rule that belongs to the image's method.

    Where a pixel's centre falls between two of the source's, rounding decides, and Pillow and torch decide otherwise
    (Cityscapes: 28 of 320 rows). Hence Pillow itself resizes with 'pillow'.
    """
    if method == 'pillow' and labels.dtype in (np.uint8, np.int32):
        return np.array(Image.fromarray(np.ascontiguousarray(labels)).resize(size[::-1], Image.Resampling.NEAREST))
    return resize_mask(labels, size, METHODS[method])


def resize_mask(mask: np.ndarray, size: tuple[int, int], rule: str) -> np.ndarray:
    """Label map (h, w) to `size`, nearest by a rule of `upsample_labels`."""
    return upsample_labels(torch.from_numpy(np.ascontiguousarray(mask)), size, rule=rule).numpy()
