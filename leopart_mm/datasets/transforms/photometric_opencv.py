"""The operations of `photometric` on one image in a CPU's memory, by OpenCV: the same values, faster.

The images are arrays (H, W, 3) float32 RGB in [0, 1], changed in place; the channels of a pixel lie side by side, as
OpenCV wants them. A clamp that could change nothing is left out: by a factor up to 1 none of the operations leaves [0, 1].
"""

import cv2
import numpy as np

from leopart_mm.datasets.transforms import photometric_parameters as columns
from leopart_mm.datasets.transforms.photometric import LUMA, Operations, plan


def augment_pixels(image: np.ndarray, parameters: list[float]) -> np.ndarray:
    """Apply the drawn operations in place, as `photometric.augment` does on the images of a device.

    Args:
        image: (H, W, 3) float32 in [0, 1], contiguous.
        parameters: The 7 parameters of `draw_photometric`.

    Returns:
        ``image``.
    """
    for operation, _, factors in plan([parameters], JITTER, grey=adjust_saturation, blur=gaussian_blur):
        operation(image, factors[0])
    return image


def adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Multiply by a factor, then clamp."""
    np.multiply(image, np.float32(factor), out=image)
    return cv2.threshold(image, 1, 0, cv2.THRESH_TRUNC, dst=image)[1] if factor > 1 else image


def adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the mean luma of the image."""
    mean = float(np.dot(cv2.mean(image)[:3], LUMA))
    np.multiply(image, np.float32(factor), out=image)
    np.add(image, np.float32((1 - factor) * mean), out=image)
    return clamp(image, factor)


def adjust_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the luma of each pixel; factor 0 gives a grey image."""
    if factor == 0:
        return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB, dst=image)
    matrix = factor * np.eye(3) + (1 - factor) * np.array(LUMA)
    return clamp(cv2.transform(image, matrix.astype(np.float32), dst=image), factor)


def adjust_hue(image: np.ndarray, shift: float) -> np.ndarray:
    """Turn the hue of HSV by a share of the circle in [-0.5, 0.5], value and saturation kept."""
    cv2.cvtColor(image, cv2.COLOR_RGB2HSV, dst=image)
    image[..., 0] += 360 * (shift % 1)  # OpenCV's way back knows no negative hues
    return cv2.cvtColor(image, cv2.COLOR_HSV2RGB, dst=image)


JITTER: Operations = {
    columns.BRIGHTNESS: (adjust_brightness, 1.),
    columns.CONTRAST: (adjust_contrast, 1.),
    columns.SATURATION: (adjust_saturation, 1.),
    columns.HUE: (adjust_hue, 0.),
}


def gaussian_blur(image: np.ndarray, weights: list[float]) -> np.ndarray:
    """Separable symmetric blur by a half kernel, centre first; the border pixels are continued."""
    kernel = np.array(weights[:0:-1] + weights, np.float32)
    return cv2.sepFilter2D(image, -1, kernel, kernel, dst=image, borderType=cv2.BORDER_REPLICATE)


def clamp(image: np.ndarray, factor: float) -> np.ndarray:
    """Clamp to [0, 1] what an operation with this factor may have moved out of it."""
    return np.clip(image, 0, 1, out=image) if factor > 1 else image
