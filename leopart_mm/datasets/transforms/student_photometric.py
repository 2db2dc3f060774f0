"""Blur, and colour jitter or grey, of the student's images in PriMaPs-EM: parameters and pixels, as plain tensors."""

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from leopart_mm.datasets.transforms import photometric_parameters as columns
from leopart_mm.datasets.transforms.photometric import JITTER, adjust_hue, all_to_device, augment, gaussian_blur, luma

NUM_DRAWS = 8
LUMA = (0.2989, 0.587, 0.114)  # torchvision's on tensors
OPERATIONS = {**JITTER, columns.HUE: (functools.partial(adjust_hue, clamp=True), 0.)}
NEGLIGIBLE = 1e-8  # share of a kernel's centre below which a float32 sum does not notice a tap


def student_parameters(draws: Tensor, factors: Sequence[float] = (0.1, 0.1, 0.1), hue: float = 0.1,
                       jitter_prob: float = 0.3, grey_prob: float = 0.1,
                       sigma: tuple[float, float] = (0.1, 2.)) -> Tensor:
    """What the draws of each image mean (docs/methods/primaps.md §2.3).

    One fair coin decides whether an image may be jittered, with `jitter_prob`, or turned grey, with `grey_prob`.

    Args:
        draws: (N, 8) uniform in [0, 1).
        factors: Strengths b of brightness, contrast and saturation, whose factors are uniform in 1 - b .. 1 + b.
        hue: Strength; the shift is uniform in -hue .. hue of the colour circle.
        jitter_prob: Probability of the jitter behind heads.
        grey_prob: Probability of grey behind tails.
        sigma: Range of the standard deviation of the blur, in pixels.

    Returns:
        (N, 7) float64, columns as of `draw_photometric`.
    """
    draws = draws.to('cpu', torch.float64)
    table = torch.zeros(len(draws), columns.NUM_PARAMETERS, dtype=torch.float64)
    strengths = torch.tensor((*factors, hue), dtype=torch.float64)
    table[:, :columns.HUE + 1] = strengths * (2 * draws[:, :4] - 1)
    table[:, :columns.HUE] += 1
    table[:, columns.ORDER] = (len(columns.ORDERS) * draws[:, 4]).floor()
    heads = draws[:, 5] < 0.5
    plain = ~(heads & (draws[:, 6] < jitter_prob))
    table[plain, :columns.ORDER + 1] = torch.tensor((1, 1, 1, 0, 0), dtype=torch.float64)
    table[:, columns.GREY] = (~heads & (draws[:, 6] < grey_prob)).double()
    table[:, columns.SIGMA] = sigma[0] + (sigma[1] - sigma[0]) * draws[:, 7]
    return table


def augment_student(images: Tensor, parameters: Tensor, kernel_size: int = 21) -> Tensor:
    """Blur, then jitter, then grey, in place (docs/methods/primaps.md §2.3).

    The operations of the jitter clamp to [0, 1] each (hue all but the largest channel, as torchvision does); blur and
    grey do not, so that images outside of it (normalised ones, published) stay what they are where they are not
    jittered.

    Args:
        images: (N, C, H, W) float, contiguous; C = 3 where an image is jittered or turned grey.
        parameters: (N, 7) of `student_parameters`, on the CPU.
        kernel_size: Taps of the blur along each axis, odd.

    Returns:
        ``images``.
    """
    rows = parameters.tolist()
    kernels = [gaussian_kernel(row[columns.SIGMA], kernel_size) for row in rows]
    widest = max(map(len, kernels))
    if widest > 1:
        if len(rows) == 1:
            weights = kernels[0]
        else:
            table = torch.tensor([kernel + [0.] * (widest - len(kernel)) for kernel in kernels])
            weights = all_to_device([table], images.device)[0].movedim(0, -1)[..., None, None, None]
        gaussian_blur(images, weights, padding='reflect')
    jittered = [index for index, row in enumerate(rows) if tuple(row[:columns.HUE + 1]) != (1, 1, 1, 0)]
    if jittered:
        table = parameters[jittered].float()
        table[:, [columns.GREY, columns.SIGMA]] = 0
        images[jittered] = augment(images[jittered], table, OPERATIONS)
    grey = [index for index, row in enumerate(rows) if row[columns.GREY]]
    if grey:
        images[grey] = luma(images[grey], LUMA).expand(-1, 3, -1, -1)
    return images


def gaussian_kernel(sigma: float, size: int) -> list[float]:
    """Half of the sampled Gaussian exp(-x² / (2 sigma²)) of `size` taps that sum to 1, centre first.

    Outer taps that change no float32 sum are left out.

    >>> gaussian_kernel(0.1, 21)
    [1.0]
    """
    half = [math.exp(-0.5 * (x / sigma) ** 2) for x in range(size // 2 + 1)] if sigma > 0 else [1.]
    half = [weight for weight in half if weight > NEGLIGIBLE]
    total = 2 * sum(half) - half[0]
    return [weight / total for weight in half]
