"""Colour jitter, grey and blur on batches of crops, each with its own parameters, on any device.

The operations work in place on float images (n, 3, H, W) in [0, 1]. A factor is a float for all images or a tensor (n,
1, 1, 1). They compute what PIL (and torchvision on PIL) does, without its rounding to uint8 after each operation.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from leopart_mm.datasets.transforms import photometric_parameters as columns
from leopart_mm.datasets.transforms.pil_blur import pil_blur_kernel
from leopart_mm.devices import to_device

LUMA = (0.299, 0.587, 0.114)  # PIL's
Factor = Tensor | float
Operations = dict[int, tuple[Callable[[Tensor, Factor], Tensor], float]]


def augment(images: Tensor, parameters: Tensor, operations: Operations | None = None) -> Tensor:
    """Apply the drawn operations, in place: colour jitter in its random order, then grey, then blur.

    Every operation runs once on all images that have it in the same place of the order. Which these are is read from
    ``parameters`` on the CPU, so that no device is waited for. On a CPU, `photometric_opencv` is faster.

    Args:
        images: (N, 3, H, W) float in [0, 1], contiguous.
        parameters: (N, 7) of `draw_photometric`, on the CPU.
        operations: Column of the jitter -> operation and its identity. Defaults to `JITTER`.

    Returns:
        ``images``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    if images.ndim != 4 or images.shape[1] != 3 or parameters.shape != (len(images), columns.NUM_PARAMETERS):
        raise ValueError('photometric augmentation needs images (N, 3, H, W) and parameters '
                         f'(N, {columns.NUM_PARAMETERS}); got {tuple(images.shape)} and {tuple(parameters.shape)}. For '
                         'images without three channels take DrawPhotometric out of the pipeline')
    steps = list(plan(parameters.tolist(), operations or JITTER))
    if len(images) == 1:
        for operation, _, factors in steps:
            operation(images, factors[0])
        return images
    places = all_to_device([torch.tensor(place) for _, place, _ in steps], images.device)
    factors = all_to_device([torch.tensor(factor) for _, _, factor in steps], images.device)
    for (operation, _, _), place, factor in zip(steps, places, factors, strict=True):
        # scalars become (n, 1, 1, 1); half kernels (n, r + 1) become r + 1 tensors (n, 1, 1, 1)
        factor = factor.movedim(0, -1)[..., None, None, None]
        images[place] = operation(images[place], factor)
    return images


Step = tuple[Callable[..., Tensor], list[int], list]


def plan(rows: list[list[float]], operations: Operations) -> Iterator[Step]:
    """The operations in order, each with the numbers of its images and their factors.

    Operations that would change nothing are left out.
    """
    everywhere = range(len(rows))
    orders = [columns.ORDERS[int(row[columns.ORDER])] for row in rows]
    for slot in range(len(operations)):
        for column, (operation, identity) in operations.items():
            place = [i for i in everywhere if orders[i][slot] == column and rows[i][column] != identity]
            if place:
                yield operation, place, [rows[i][column] for i in place]
    grey = [i for i in everywhere if rows[i][columns.GREY]]
    if grey:
        yield adjust_saturation, grey, [0.] * len(grey)
    blurred = [i for i in everywhere if rows[i][columns.SIGMA]]
    if blurred:
        kernels = [pil_blur_kernel(rows[i][columns.SIGMA]) for i in blurred]
        widest = max(map(len, kernels))
        yield gaussian_blur, blurred, [kernel + [0.] * (widest - len(kernel)) for kernel in kernels]


def all_to_device(tensors: list[Tensor], device: torch.device) -> list[Tensor]:
    """Bring many small CPU tensors of a type over in one transfer, which does not wait for the device."""
    if not tensors:
        return []
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    parts = to_device(flat, device).split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def adjust_brightness(images: Tensor, factor: Factor) -> Tensor:
    """Multiply by a factor, then clamp."""
    return images.mul_(factor).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Factor) -> Tensor:
    """Blend with the mean luma of the image."""
    mean = luma(images.mean((2, 3), keepdim=True))
    return torch.lerp(mean, images, factor, out=images).clamp_(0, 1)


def adjust_saturation(images: Tensor, factor: Factor) -> Tensor:
    """Blend with the luma of each pixel; factor 0 gives a grey image."""
    return torch.lerp(luma(images), images, factor, out=images).clamp_(0, 1)


def luma(images: Tensor, weights: tuple[float, float, float] = LUMA) -> Tensor:
    """Weighted sum of the channels: (n, 3, H, W) -> (n, 1, H, W)."""
    red, green, blue = images.split(1, dim=1)
    return (red * weights[0]).add_(green, alpha=weights[1]).add_(blue, alpha=weights[2])


def adjust_hue(images: Tensor, shift: Factor, clamp: bool = False) -> Tensor:
    """Turn the hue of HSV by a share of the circle in [-0.5, 0.5], value and saturation kept.

    With hue h on the circle [0, 6), smallest channel m and chroma c = largest - m, the channels of a colour are
    m + c * (|h - 3| - 1), m + c * (2 - |h - 2|) and m + c * (2 - |h - 4|), the factors of c clamped to [0, 1].

    Args:
        images: (n, 3, H, W).
        shift: Share of the circle.
        clamp: For images outside of [0, 1]: clamp all but the largest channel, as torchvision does.
    """
    red, green, blue = images.split(1, dim=1)
    chroma, smallest = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    # selecting by weights of 0 and 1: on a CPU torch.where takes twenty times as long
    is_red = torch.eq(chroma, red, out=torch.empty_like(chroma))
    is_green = torch.eq(chroma, green, out=torch.empty_like(chroma))
    chroma.sub_(smallest)
    hue = torch.sub(red, green).add_(chroma, alpha=4)
    case = torch.sub(blue, red).add_(chroma, alpha=2)
    hue.lerp_(case, is_green).lerp_(torch.sub(green, blue, out=case), is_red)
    hue.div_(torch.clamp(chroma, min=1e-8, out=case)).add_(6 * shift)
    hue.sub_(torch.mul(hue, 1 / 6, out=case).floor_(), alpha=6)
    # numbers, not a tensor of them: a GPU would be waited for until it is there
    for channel, centre, sign, offset in zip(images.split(1, dim=1), (3, 2, 4), (1, -1, -1), (-1, 2, 2), strict=True):
        torch.sub(hue, centre, out=channel).abs_().mul_(sign).add_(offset)
    images.clamp_(0, 1)
    if clamp:
        colours = torch.addcmul(smallest, images, chroma)
        return torch.where(images == 1, colours, colours.clamp(0, 1), out=images)
    return torch.addcmul(smallest, images, chroma, out=images)


JITTER: Operations = {
    columns.BRIGHTNESS: (adjust_brightness, 1.),
    columns.CONTRAST: (adjust_contrast, 1.),
    columns.SATURATION: (adjust_saturation, 1.),
    columns.HUE: (adjust_hue, 0.),
}


def gaussian_blur(images: Tensor, weights: Tensor | list[float], padding: str = 'replicate') -> Tensor:
    """Separable symmetric blur, in place.

    Args:
        images: (n, 3, H, W).
        weights: Half kernel, centre first: r + 1 floats or (n, 1, 1, 1) tensors.
        padding: What lies beyond the border: 'replicate' continues the border pixels, 'reflect' mirrors the image.
    """
    radius = len(weights) - 1
    padded = F.pad(images, (radius,) * 4, mode=padding)
    rows = correlate(padded, weights, 3, padded.new_empty(*padded.shape[:3], images.shape[3]))
    return correlate(rows, weights, 2, images)


def correlate(padded: Tensor, weights: Tensor | list[float], dim: int, out: Tensor) -> Tensor:
    """Correlate along ``dim`` with a symmetric half kernel into ``out``, shorter by twice the kernel's radius."""
    radius, size = len(weights) - 1, out.shape[dim]
    torch.mul(padded.narrow(dim, radius, size), weights[0], out=out)
    pair = torch.empty_like(out)
    for i in range(1, radius + 1):
        torch.add(padded.narrow(dim, radius - i, size), padded.narrow(dim, radius + i, size), out=pair)
        if isinstance(weights, list):
            out.add_(pair, alpha=weights[i])
        else:
            out.addcmul_(pair, weights[i])
    return out
