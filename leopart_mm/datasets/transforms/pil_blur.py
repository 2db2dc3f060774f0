"""The kernel of PIL's GaussianBlur."""

import math

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
    box = [edge] + [1.] * (2 * whole + 1) + [edge]
    kernel = convolve(convolve(box, box), box)
    half = [weight for weight in kernel[len(kernel) // 2:] if weight >= negligible * sum(kernel)]
    total = 2 * sum(half) - half[0]
    return [weight / total for weight in half]


def convolve(a: list[float], b: list[float]) -> list[float]:
    """Full convolution of two short lists (faster than NumPy's for these)."""
    out = [0.] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] += x * y
    return out
