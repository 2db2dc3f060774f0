"""SeedFromDraw: random transforms of MMCV and MMDetection that repeat after a resume."""

import random
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from leopart_mm.datasets.samplers.draw import Draw
from leopart_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SeedFromDraw(BaseTransform):
    """Seed Python's and numpy's global generators by the `Draw` of the sample, for the transforms behind it.

    Transforms of the frameworks draw from global state, a stream per worker that starts anew with every run. Behind
    this step they draw the same numbers with any number of workers and after a resume. It does nothing where the
    sampler yields plain indices.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Seed; the sample stays as it is."""
        draw = results.get('sample_idx')
        if isinstance(draw, Draw):
            seed = int(draw.generator('SeedFromDraw').integers(2**32))
            random.seed(seed)
            np.random.seed(seed)
        return results
