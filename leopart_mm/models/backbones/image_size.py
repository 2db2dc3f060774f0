"""Images whose sides are not multiples of the patch size."""

import torch.nn.functional as F
from torch import Tensor

SIZE_MODES = ('pad', 'resize', 'drop')


def check_size_mode(mode: str) -> None:
    """Raise a ValueError that lists the allowed values if `mode` is none of `SIZE_MODES`."""
    if mode not in SIZE_MODES:
        raise ValueError(f"size_mode='{mode}' is unknown. Allowed: 'pad' (zeros at the bottom and right), 'resize' "
                         "(bilinear, to the next multiple of the patch size), 'drop' (the rest is cut off).")


def fit_to_patches(image: Tensor, patch_size: int, mode: str = 'pad') -> Tensor:
    """Give an image sides that are multiples of the patch size; an image that has them is returned as it is.

    Args:
        image: (B, C, H, W).
        patch_size: Side p of a patch.
        mode: 'pad': zeros (the mean colour, after normalisation) at the bottom and right, ceil(H/p) patch rows.
            'resize': bilinear to the next multiple, also ceil(H/p). 'drop': the last H mod p rows are cut off,
            floor(H/p) (as a plain convolution and the published code do).

    Raises:
        ValueError: If `mode` is 'drop' and the image is smaller than one patch.
    """
    height, width = image.shape[-2:]
    extra_h, extra_w = -height % patch_size, -width % patch_size
    if extra_h == 0 and extra_w == 0:
        return image
    if mode == 'pad':
        return F.pad(image, (0, extra_w, 0, extra_h))
    if mode == 'resize':
        return F.interpolate(image, size=(height + extra_h, width + extra_w), mode='bilinear', align_corners=False)
    if height < patch_size or width < patch_size:
        raise ValueError(f'An image of {height}x{width} pixels holds no patch of {patch_size}x{patch_size}; use '
                         "size_mode='pad'.")
    return image[..., :height - height % patch_size, :width - width % patch_size]
