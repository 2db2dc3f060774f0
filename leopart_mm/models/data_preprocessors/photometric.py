"""Colour jitter, grey and blur on batches of crops with parameters of their own, on any device.

The operations work in place on float images (n, 3, H, W) in [0, 1]; factors are (n,) on the same device. They compute
what PIL (and torchvision on PIL) does, without its rounding to uint8 after each operation.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from leopart_mm.datasets.transforms.photometric_parameters import (
    BRIGHTNESS,
    CONTRAST,
    GREY,
    HUE,
    NUM_PARAMETERS,
    ORDER,
    ORDERS,
    SATURATION,
    SIGMA,
)

LUMA = (0.299, 0.587, 0.114)


def augment(images: Tensor, parameters: Tensor) -> Tensor:
    """Apply the drawn operations, in place: colour jitter in its random order, then grey, then blur.

    On a GPU every operation runs once on all crops that have it. On a CPU the crops go one by one, so that they stay in
    the cache. Which crops have which operation is read from ``parameters`` on the CPU: no device is waited for.

    Args:
        images: (N, 3, H, W) float in [0, 1].
        parameters: (N, 7) of `draw_photometric`, on the CPU.

    Returns:
        ``images``.

    Raises:
        ValueError: if the shapes do not fit.
    """
    if images.ndim != 4 or images.shape[1] != 3 or parameters.shape != (len(images), NUM_PARAMETERS):
        raise ValueError('photometric augmentation needs images (N, 3, H, W) and parameters '
                         f'(N, {NUM_PARAMETERS}); got {tuple(images.shape)} and {tuple(parameters.shape)}. For images '
                         'without three channels take DrawPhotometric out of the pipeline')
    if images.device.type == 'cpu':
        for image, row in zip(images.split(1), parameters.split(1), strict=True):
            for operation, _, factor in plan(row):
                operation(image, factor.item() if factor.numel() == 1 else factor.flatten().tolist())
        return images
    steps = list(plan(parameters))
    places = to_device([place for _, place, _ in steps], images.device)
    factors = to_device([factor for _, _, factor in steps], images.device)
    for (operation, _, _), place, factor in zip(steps, places, factors, strict=True):
        images[place] = operation(images[place], factor)
    return images


def plan(parameters: Tensor) -> Iterator[tuple[Callable, Tensor, Tensor]]:
    """The operations to run, in order: (operation, places (n,) of its images, factors (..., n, 1, 1, 1)).

    Operations that would change nothing are left out.
    """
    orders = torch.tensor(ORDERS)[parameters[:, ORDER].long()]
    for slot in range(orders.shape[1]):
        for column, operation in JITTER.items():
            identity = 0. if column == HUE else 1.
            place = ((orders[:, slot] == column) & (parameters[:, column] != identity)).nonzero().flatten()
            if len(place):
                yield operation, place, parameters[place, column].view(-1, 1, 1, 1)
    place = parameters[:, GREY].nonzero().flatten()
    if len(place):
        yield adjust_saturation, place, torch.zeros(len(place), 1, 1, 1)
    place = parameters[:, SIGMA].nonzero().flatten()
    if len(place):
        yield gaussian_blur, place, gaussian_weights(parameters[place, SIGMA])[..., None, None, None]


def to_device(tensors: list[Tensor], device: torch.device) -> list[Tensor]:
    """Bring many small CPU tensors over in one transfer, which does not wait for the device."""
    if not tensors:
        return []
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    if device.type == 'cuda':
        flat = flat.pin_memory()
    parts = flat.to(device, non_blocking=True).split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def adjust_brightness(images: Tensor, factor: Tensor | float) -> Tensor:
    """Multiply by a factor, then clamp."""
    return images.mul_(factor).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor | float) -> Tensor:
    """Blend with the mean luma of the image."""
    mean = luma(images.mean((2, 3), keepdim=True))
    return images.mul_(factor).add_(mean.mul_(1 - factor)).clamp_(0, 1)


def adjust_saturation(images: Tensor, factor: Tensor | float) -> Tensor:
    """Blend with the luma of each pixel; factor 0 is grey."""
    grey = luma(images).mul_(1 - factor)
    return images.mul_(factor).add_(grey).clamp_(0, 1)


def luma(images: Tensor) -> Tensor:
    """Weighted sum of the channels, (n, 3, ...) -> (n, 1, ...), with PIL's weights."""
    red, green, blue = images.split(1, dim=1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def adjust_hue(images: Tensor, shift: Tensor | float) -> Tensor:
    """Turn the hue of HSV by a share of the circle in [-0.5, 0.5], value and saturation kept.

    With the hue h on [0, 6), smallest channel m and chroma c = largest - m, the channels of a colour are
    m + c * clamp(|h - 3| - 1), m + c * clamp(2 - |h - 2|) and m + c * clamp(2 - |h - 4|), clamped to [0, 1].
    Selections are made by multiplying with 0 or 1: `torch.where` is twenty times slower on a CPU.
    """
    red, green, blue = images.split(1, dim=1)
    largest = torch.maximum(torch.maximum(red, green), blue)
    smallest = torch.minimum(torch.minimum(red, green), blue)
    chroma = largest - smallest
    is_red = torch.eq(largest, red, out=torch.empty_like(red))
    is_green = torch.eq(largest, green, out=largest.clone())
    hue = (red - green).add_(chroma, alpha=4)
    hue.lerp_((blue - red).add_(chroma, alpha=2), is_green)
    hue.lerp_(green - blue, is_red)
    hue.div_(chroma.clamp(min=1e-8))
    hue.add_(6 * shift)
    hue.sub_(torch.floor(hue / 6).mul_(6))
    for channel, (centre, sign, offset) in zip((red, green, blue), ((3, 1, -1), (2, -1, 2), (4, -1, 2)), strict=True):
        torch.sub(hue, centre, out=channel)
        channel.abs_().mul_(sign).add_(offset).clamp_(0, 1).mul_(chroma).add_(smallest)
    return images


JITTER = {BRIGHTNESS: adjust_brightness, CONTRAST: adjust_contrast, SATURATION: adjust_saturation, HUE: adjust_hue}


def gaussian_weights(sigma: Tensor) -> Tensor:
    """Half kernels (r + 1, n) of standard deviations (n,), centre first; r = 3 sigma of the widest, rounded up."""
    radius = max(1, int((3 * sigma.max()).ceil()))
    distance = torch.arange(radius + 1, dtype=sigma.dtype)[:, None]
    weights = torch.exp(-0.5 * (distance / sigma)**2)
    return weights / (2 * weights.sum(0) - weights[0])


def gaussian_blur(images: Tensor, weights: Tensor | list[float]) -> Tensor:
    """Separable blur with half kernels of `gaussian_weights` (r + 1 weights); the border is continued as by PIL."""
    radius = len(weights) - 1
    out = F.pad(images, (radius,) * 4, mode='replicate')
    for dim in (2, 3):
        size = images.shape[dim]
        padded = out
        out = padded.narrow(dim, radius, size) * weights[0]
        for i in range(1, radius + 1):
            pair = padded.narrow(dim, radius - i, size) + padded.narrow(dim, radius + i, size)
            out.add_(pair.mul_(weights[i]))
    return images.copy_(out)
