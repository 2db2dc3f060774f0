"""The kernel of PIL's GaussianBlur."""

import math

import numpy as np

PASSES = 3


def pil_blur_kernel(sigma: float, negligible: float = 1e-3) -> list[float]:
    """Half of the symmetric kernel that PIL's ``GaussianBlur(radius=sigma)`` applies along each axis, centre first.

    PIL takes three passes of a box filter whose outermost taps are weighted so that the variances add up to sigma². (A
    Gaussian sampled at whole pixels is nearly the same from sigma = 1 on, but differs below.) Outer taps that
    weigh less than ``negligible`` are left out.
    """
    variance = sigma**2 / PASSES
    whole = math.floor((math.sqrt(12 * variance + 1) - 1) / 2)
    edge = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1)**2))
    box = np.array([edge] + [1.] * (2 * whole + 1) + [edge]) / (2 * (whole + edge) + 1)
    kernel = np.convolve(np.convolve(box, box), box)
    half = kernel[len(kernel) // 2:]
    half = half[:max(1, int((half >= negligible).sum()))]
    return (half / (2 * half.sum() - half[0])).tolist()
