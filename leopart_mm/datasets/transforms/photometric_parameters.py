"""What is drawn for the photometric augmentation of each crop; the pixels are changed on the model's device."""

import itertools
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from leopart_mm.datasets.samplers.draw import sample_generator
from leopart_mm.registry import TRANSFORMS

# Columns of a table of parameters. IDENTITY changes nothing, whatever its ORDER.
BRIGHTNESS, CONTRAST, SATURATION, HUE, ORDER, GREY, SIGMA = range(7)
NUM_PARAMETERS = 7
IDENTITY = (1, 1, 1, 0, 0, 0, 0)
# ORDER is an index into these: the order in which the four operations of the jitter are applied to the crop.
ORDERS = tuple(itertools.permutations((BRIGHTNESS, CONTRAST, SATURATION, HUE)))


def draw_photometric(num: int,
                     rng: np.random.Generator,
                     jitter: float = 1.0,
                     jitter_prob: float = 0.8,
                     grey_prob: float = 0.2,
                     blur: float = 1.0,
                     blur_prob: float = 0.5) -> np.ndarray:
    """Draw the parameters of ``num`` crops independently (docs/methods/leopart.md §2).

    Args:
        num: Number of crops.
        rng: Source of the draws.
        jitter: Strength j >= 0 of the colour jitter: factors of brightness, contrast and saturation uniform in
            1 ± 0.8 j (not below 0), shift of the hue uniform in ± 0.2 j of the circle, in a random order.
        jitter_prob: Probability of the jitter.
        grey_prob: Probability of turning grey.
        blur: Strength b >= 0 of the Gaussian blur, whose standard deviation is uniform in [0.1 b, 2 b] pixels.
        blur_prob: Probability of the blur.

    Returns:
        (num, 7) float32; columns BRIGHTNESS, CONTRAST, SATURATION, HUE, ORDER, GREY, SIGMA of this module.
    """
    u = rng.random((num, 10))
    parameters = np.zeros((num, NUM_PARAMETERS))
    low, high = max(0., 1 - 0.8 * jitter), 1 + 0.8 * jitter
    parameters[:, BRIGHTNESS:SATURATION + 1] = low + (high - low) * u[:, 0:3]
    parameters[:, HUE] = 0.2 * jitter * (2 * u[:, 3] - 1)
    parameters[:, ORDER] = np.floor(len(ORDERS) * u[:, 4])
    parameters[u[:, 5] >= jitter_prob, :ORDER + 1] = IDENTITY[:ORDER + 1]
    parameters[:, GREY] = u[:, 6] < grey_prob
    parameters[:, SIGMA] = np.where(u[:, 7] < blur_prob, blur * (0.1 + 1.9 * u[:, 8]), 0)
    return parameters.astype(np.float32)


@TRANSFORMS.register_module()
class DrawPhotometric(BaseTransform):
    """Draw the photometric parameters of each crop on the worker (docs/methods/leopart.md §2).

    They travel in the batch to `MultiCropDataPreprocessor`, which applies them on the model's device. Drawn here, they
    belong to the sample like its boxes: the same with any number of workers and after a resume (see `Draw`).

    Required keys: ``crops`` or ``flipped`` of each crop, and ``gc_boxes`` for `clean_global`. Added key:
    ``photometric``, (V, 7) float32 of `draw_photometric`.

    Args:
        jitter (float): Strength of the colour jitter. Defaults to 1.0 (published configs; published default 0.2).
        jitter_prob (float): Probability of the jitter. Defaults to 0.8.
        grey_prob (float): Probability of turning grey. Defaults to 0.2.
        blur (float): Strength of the blur. Defaults to 1.0.
        blur_prob (float): Probability of the blur. Defaults to 0.5.
        clean_global (bool): Whether the global crops stay as they are, as for a teacher without augmentation; what the
            other crops draw does not depend on it. Defaults to False.
    """

    def __init__(self,
                 jitter: float = 1.0,
                 jitter_prob: float = 0.8,
                 grey_prob: float = 0.2,
                 blur: float = 1.0,
                 blur_prob: float = 0.5,
                 clean_global: bool = False) -> None:
        self.clean_global = clean_global
        self.settings = check_settings(
            jitter=jitter, jitter_prob=jitter_prob, grey_prob=grey_prob, blur=blur, blur_prob=blur_prob)

    @cache_randomness
    def draw(self, results: dict[str, Any]) -> np.ndarray:
        """Parameters (V, 7) of the crops of one sample."""
        rng = sample_generator(results, 'DrawPhotometric')
        parameters = draw_photometric(len(results['crops' if 'crops' in results else 'flipped']), rng, **self.settings)
        if self.clean_global:
            parameters[:len(results['gc_boxes'])] = IDENTITY
        return parameters

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the key `photometric`."""
        results['photometric'] = self.draw(results)
        return results

    def __repr__(self) -> str:
        settings = {**self.settings, 'clean_global': self.clean_global}
        return f'{type(self).__name__}({", ".join(f"{k}={v}" for k, v in settings.items())})'


def check_settings(**settings: float) -> dict[str, float]:
    """The arguments of `draw_photometric`, checked.

    Raises:
        ValueError: If an argument is out of range; the message names it.
    """
    for name, value in settings.items():
        high = 1.0 if name.endswith('_prob') else 2.5 if name == 'jitter' else float('inf')
        if not 0 <= value <= high:
            raise ValueError(f'photometric {name} must be in [0, {high}]; got {value}')
    return settings
