"""The operations of `photometric` on one image in a CPU's memory, by OpenCV: the same values in a fraction of the time.

All operations but hue are affine in the colours of a pixel, up to clamps, and a blur commutes with them. They are
therefore joined to one matrix, which is applied only where a clamp or the hue needs the pixels: most images are passed
over two or three times. A clamp that could change nothing is left out: by a factor up to 1 no operation leaves [0, 1].
"""

from collections.abc import Sequence

import cv2
import numpy as np

from leopart_mm.datasets.transforms import photometric_parameters as columns
from leopart_mm.datasets.transforms.photometric import LUMA
from leopart_mm.datasets.transforms.pil_blur import pil_blur_kernel

Affine = np.ndarray  # (3, n + 1) float64: from n channels to RGB, the last column is added
IDENTITY = np.eye(3, 4)
FROM_GREY = np.array([[1., 0.]] * 3)
LUMA_ROW = np.array(LUMA)


def augment_pixels(pixels: np.ndarray,
                   parameters: list[float],
                   planes: Sequence[np.ndarray],
                   before: Affine = IDENTITY,
                   after: Affine = IDENTITY,
                   spare: np.ndarray | None = None) -> None:
    """Apply the drawn operations, as `photometric.augment` does on the images of a device.

    Args:
        pixels: (H, W, 3) float32, contiguous; used up.
        parameters: The 7 parameters of `draw_photometric`.
        planes: Three (H, W) float32, contiguous, for the result.
        before: From the channels of `pixels` to RGB in [0, 1].
        after: From RGB in [0, 1] to `planes`, such as a normalisation.
        spare: Memory as `pixels`, used up; saves its allocation.
    """
    image = Colours(pixels, before, np.empty_like(pixels) if spare is None else spare)
    for column in columns.ORDERS[int(parameters[columns.ORDER])]:
        operation, identity = JITTER[column]
        if parameters[column] != identity:
            operation(image, parameters[column])
    if parameters[columns.GREY]:
        make_grey(image)
    if parameters[columns.SIGMA]:
        gaussian_blur(image, pil_blur_kernel(parameters[columns.SIGMA]))
    image.affine = after[:, :3] @ image.affine
    image.affine[:, -1] += after[:, 3]
    image.write(planes)


class Colours:
    """An image and an affine change of its colours that is not made yet.

    Args:
        pixels: (H, W, 3), or (H, W) once it is grey, float32.
        affine: The change, to RGB.
        spare: Memory of as many channels.
    """

    def __init__(self, pixels: np.ndarray, affine: Affine, spare: np.ndarray) -> None:
        self.pixels, self.affine, self.spare = pixels, affine, spare

    def luma(self) -> np.ndarray:
        """The change from the channels to the luma of the changed colours, (n + 1,)."""
        return LUMA_ROW @ self.affine

    def make(self) -> np.ndarray:
        """The pixels after the change, (H, W, 3), which may be changed in place."""
        if self.affine is not IDENTITY:
            made = cv2.transform(self.pixels, self.affine.astype(np.float32), dst=self.spare)
            self.pixels, self.spare, self.affine = made, self.pixels, IDENTITY
        return self.pixels

    def clamp(self, factor: float) -> None:
        """Clamp to [0, 1] if an operation with this factor may have left it."""
        if factor > 1:
            pixels = self.make()
            np.clip(pixels, 0, 1, out=pixels)

    def write(self, planes: Sequence[np.ndarray]) -> None:
        """Make the change into one plane per channel."""
        for row, plane in zip(self.affine.astype(np.float32), planes, strict=True):
            cv2.transform(self.pixels, row[None], dst=plane)


def adjust_brightness(image: Colours, factor: float) -> None:
    """Multiply by a factor, then clamp."""
    image.affine = factor * image.affine
    image.clamp(factor)


def adjust_contrast(image: Colours, factor: float) -> None:
    """Blend with the mean luma of the image."""
    *channels, one = image.luma().tolist()
    level = sum(weight * mean for weight, mean in zip(channels, cv2.mean(image.pixels), strict=False)) + one
    image.affine = factor * image.affine
    image.affine[:, -1] += (1 - factor) * level
    image.clamp(factor)


def adjust_saturation(image: Colours, factor: float) -> None:
    """Blend with the luma of each pixel; factor 0 gives a grey image."""
    image.affine = factor * image.affine + (1 - factor) * image.luma()
    image.clamp(factor)


def adjust_hue(image: Colours, shift: float) -> None:
    """Turn the hue of HSV by a share of the circle in [-0.5, 0.5], value and saturation kept."""
    pixels = image.make()
    cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV, dst=pixels)
    pixels[..., 0] += 360 * (shift % 1)  # OpenCV's way back knows no negative hues
    cv2.cvtColor(pixels, cv2.COLOR_HSV2RGB, dst=pixels)


JITTER = {
    columns.BRIGHTNESS: (adjust_brightness, 1.),
    columns.CONTRAST: (adjust_contrast, 1.),
    columns.SATURATION: (adjust_saturation, 1.),
    columns.HUE: (adjust_hue, 0.),
}


def make_grey(image: Colours) -> None:
    """Replace the colours by the luma of each pixel, which is one channel from here on."""
    height, width = image.pixels.shape[:2]
    plane = image.spare.reshape(-1)[:height * width].reshape(height, width)
    image.pixels = cv2.transform(image.pixels, image.luma()[None].astype(np.float32), dst=plane)
    image.affine = FROM_GREY


def gaussian_blur(image: Colours, weights: list[float]) -> None:
    """Separable symmetric blur by a half kernel, centre first, whose sum is 1; the border pixels are continued."""
    kernel = np.array(weights[:0:-1] + weights, np.float32)
    cv2.sepFilter2D(image.pixels, -1, kernel, kernel, dst=image.pixels, borderType=cv2.BORDER_REPLICATE)
