"""The dense CRF of the published library, where someone has it."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def library_marginals(unary: Tensor, image: Tensor, settings: Any) -> Tensor:
    """Marginals by `pydensecrf`, on the CPU.

    Args:
        unary: (L, H, W) energies.
        image: (H, W, 3) uint8, RGB.
        settings: CRFSettings.

    Returns:
        (L, H, W) float32.

    Raises:
        ImportError: If the library is missing.
    """
    try:
        from pydensecrf.densecrf import DenseCRF2D
    except ImportError as error:
        raise ImportError("CRFSettings(backend='pydensecrf') needs the library: pip install 'cython<3' setuptools "
                          'wheel, then pip install --no-build-isolation pydensecrf2 (it needs a C++ compiler); or '
                          "take backend='lattice', which gives the same to 5e-4 without it.") from error
    labels, height, width = unary.shape
    model = DenseCRF2D(width, height, labels)
    model.setUnaryEnergy(np.ascontiguousarray(unary.flatten(1).cpu().numpy()))
    if settings.smooth_weight:
        model.addPairwiseGaussian(sxy=settings.smooth_xy, compat=settings.smooth_weight)
    if settings.appearance_weight:
        colours = np.ascontiguousarray(image.flip(2).cpu().numpy())
        model.addPairwiseBilateral(sxy=settings.appearance_xy, srgb=settings.appearance_rgb, rgbim=colours,
                                   compat=settings.appearance_weight)
    return torch.from_numpy(np.array(model.inference(settings.iterations), dtype=np.float32)).view(unary.shape)
