"""Foreground masks from the attention of the class token."""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur


@torch.no_grad()
def attention_foreground(attention: Tensor,
                         mass: float = 0.6,
                         sigma: float = 0.6,
                         kernel: int = 7,
                         min_component: int = 3) -> Tensor:
    """Mark the strongest cells that hold a share of the attention (docs/methods/leopart.md §4.1).

    The map is blurred, the strongest cells whose summed attention reaches `mass` are kept, and small components
    (8-neighbourhood) are erased.

    Args:
        attention: (N, 1, h, w), not negative: the attention of the class token to the patches, averaged over heads.
        mass: Share of the attention to keep, in (0, 1].
        sigma: Standard deviation of the Gaussian blur, in cells.
        kernel: Side of the window of the blur, odd. The border is reflected, so h and w must exceed kernel // 2.
        min_component: Components of fewer cells are erased; 0 or 1 keeps all.

    Returns:
        (N, 1, h, w) float32, 0 or 1.

    Raises:
        ValueError: If the shape is wrong, or the map is too small for the kernel.
    """
    if attention.dim() != 4 or attention.shape[1] != 1:
        raise ValueError(f'attention must be (N, 1, h, w), but got {tuple(attention.shape)}: average over the heads')
    if min(attention.shape[-2:]) <= kernel // 2:
        raise ValueError(f'attention of {tuple(attention.shape[-2:])} cells is too small for a blur with '
                         f'kernel={kernel}: use larger crops or a smaller kernel')
    blurred = gaussian_blur(attention.float(), [kernel, kernel], [sigma, sigma]).flatten(1)
    ascending, order = blurred.sort(dim=-1)
    share = (ascending / ascending.sum(-1, keepdim=True)).cumsum(-1)
    mask = torch.zeros_like(share).scatter_(-1, order, (share > 1 - mass).to(share.dtype))
    return drop_small_components(mask.view_as(attention), min_component)


def drop_small_components(mask: Tensor, min_component: int = 3) -> Tensor:
    """Set 8-connected components of fewer than `min_component` cells to 0 in masks (N, 1, h, w) of 0 and 1."""
    if min_component < 2:
        return mask
    cells = mask.cpu().numpy()[:, 0] > 0
    structure = np.zeros((3, 3, 3), dtype=bool)
    structure[1] = True  # neighbours within an image, none between images: one call labels the whole batch
    labels, _ = ndimage.label(cells, structure)
    size = np.bincount(labels.ravel())
    keep = cells & (size[labels] >= min_component)
    return torch.from_numpy(keep[:, None]).to(mask)
