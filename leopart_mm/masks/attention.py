"""Foreground masks from the attention of the class token."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from leopart_mm.devices import on_cpu

# On a GPU the window around every cell is searched up to this component size; beyond, the host labels the components.
LARGEST_WINDOWED = 5


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
    """Set 8-connected components of fewer than `min_component` cells to 0 in masks (N, 1, h, w) of 0 and 1.

    On a GPU the host does not wait for it up to a `min_component` of 5; larger ones are looked for on the host.
    """
    if min_component < 2:
        return mask
    if not on_cpu(mask) and min_component <= LARGEST_WINDOWED:
        return mask * in_large_component(mask > 0, min_component)
    cells = mask.cpu().numpy()[:, 0] > 0
    structure = np.zeros((3, 3, 3), dtype=bool)
    structure[1] = True  # neighbours within an image, none between images: one call labels the whole batch
    labels, _ = ndimage.label(cells, structure)
    size = np.bincount(labels.ravel())
    keep = cells & (size[labels] >= min_component)
    return torch.from_numpy(keep[:, None]).to(mask)


def in_large_component(cells: Tensor, size: int) -> Tensor:
    """Which cells lie in an 8-connected component of at least `size` cells, by operations that every device has.

    Of a component with that many cells each cell reaches `size` of them, itself included, in ``size - 1`` steps. So the
    window of that radius around every cell tells, of ``(2 size - 1)²`` cells.

    Args:
        cells: (N, 1, h, w) bool.
        size: At least 1.

    Returns:
        (N, 1, h, w) bool.
    """
    steps = size - 1
    side = 2 * steps + 1
    windows = F.unfold(cells.float(), side, padding=steps).mT.reshape(-1, 1, side, side)  # one for each cell
    reached = torch.zeros_like(windows)
    reached[:, :, steps, steps] = windows[:, :, steps, steps]
    for _ in range(steps):
        reached = F.max_pool2d(reached, 3, stride=1, padding=1) * windows
    return (reached.sum((1, 2, 3)) >= size).view_as(cells)
