"""What decides the student's augmentation of a sample; the pixels are changed on the model's device."""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from leopart_mm.datasets.samplers.draw import sample_generator
from leopart_mm.datasets.transforms.student_photometric import NUM_DRAWS
from leopart_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class DrawStudentAugmentation(BaseTransform):
    """Draw eight uniform numbers for `StudentAugmentation` on the worker (docs/methods/primaps.md §2.3).

    Drawn here, they belong to the sample like its crop: the same with any number of processes and workers and after a
    resume (see `Draw`). Name the key in the ``meta_keys`` of the packing step. Added key: ``student_draws``, (8,)
    float64 in [0, 1).
    """

    @cache_randomness
    def draw(self, results: dict[str, Any]) -> np.ndarray:
        """The numbers of one sample."""
        return sample_generator(results, 'StudentAugmentation').random(NUM_DRAWS)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the key `student_draws`."""
        results['student_draws'] = self.draw(results)
        return results
