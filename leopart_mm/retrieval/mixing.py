"""From neighbours to a label: cross-attention of a query to its nearest keys (docs/methods/neco.md §8.4)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def mix_labels(similarities: Tensor, labels: Tensor, temperature: float = 0.02) -> Tensor:
    """Mean of the neighbours' soft labels, weighted by the softmax of similarity / temperature.

    Args:
        similarities: (..., k) cosines, k >= 1; -inf for a neighbour that does not exist.
        labels: (..., k, C) soft labels of the neighbours.
        temperature: Temperature > 0 of the softmax; the smaller, the more the nearest neighbour decides.

    Returns:
        (..., C) float32.

    >>> mix_labels(torch.tensor([0.5, 0.5]), torch.tensor([[1., 0.], [0., 1.]])).tolist()
    [0.5, 0.5]
    """
    weights = torch.softmax(similarities.float() / temperature, dim=-1)
    return (weights[..., None, :] @ labels.float()).squeeze(-2)


def upsample_scores(scores: Tensor,
                    size: tuple[int, int],
                    extent: tuple[float, float, float, float] | None = None) -> Tensor:
    """Scores on the patch grid to pixels, bilinear (align_corners False).

    Args:
        scores: (C, h, w).
        size: (H, W) of the result.
        extent: (top, bottom, left, right) of the image in cells of the grid; None: the whole grid.

    Returns:
        (C, H, W).
    """
    height, width = scores.shape[-2:]
    if extent is None or tuple(extent) == (0, height, 0, width):
        return F.interpolate(scores[None], size, mode='bilinear', align_corners=False)[0]
    top, bottom, left, right = extent
    # Where pixel centres lie on the grid, as grid_sample wants it: -1 and 1 are the outer borders of the first and last
    # cell.
    rows = (top + (torch.arange(size[0]) + 0.5) * ((bottom - top) / size[0])) * (2 / height) - 1
    columns = (left + (torch.arange(size[1]) + 0.5) * ((right - left) / size[1])) * (2 / width) - 1
    points = torch.stack(torch.meshgrid(columns, rows, indexing='xy'), -1).to(scores)
    return F.grid_sample(scores[None], points[None], mode='bilinear', padding_mode='border', align_corners=False)[0]
