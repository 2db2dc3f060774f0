"""A black image as a network sees it: what is left in its features is where they lie."""

import torch
from torch import Tensor, nn


def black_image(preprocessor: nn.Module, patch_size: int, grid: tuple[int, int]) -> Tensor:
    """A black image of whole patches, normalised.

    Args:
        preprocessor: A data preprocessor with `mean` and `std` (C, 1, 1), if it normalises.
        patch_size: Pixels per side of a patch.
        grid: (h, w), its patches.

    Returns:
        (1, C, h * patch_size, w * patch_size), on the preprocessor's device.
    """
    height, width = (cells * patch_size for cells in grid)
    if not getattr(preprocessor, '_enable_normalize', False):
        return torch.zeros(1, 3, height, width, device=preprocessor.device)
    colour = -preprocessor.mean / preprocessor.std
    return colour.expand(len(colour), height, width)[None].contiguous()
