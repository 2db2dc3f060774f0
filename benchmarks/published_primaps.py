"""Principal masks in the published way: one image at a time, a randomised SVD with 100 power iterations per mask.

Written from docs/methods/primaps.md §4.1-4.3.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def published_masks(features: Tensor, threshold: float, signs: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Soft masks (M, h, w) and directions (M, C) of one image (C, h, w); `signs` (M', C) orient the directions."""
    height, width = features.shape[1:]
    raw = features.flatten(1).T
    unit = F.normalize(features, dim=0).flatten(1)
    free = torch.ones(height * width, dtype=torch.bool, device=features.device)
    masks, directions, history = [], [], []
    while (~free).sum() / len(free) < 0.95:
        direction = torch.pca_lowrank(raw[free], q=3, center=True, niter=100)[2][:, 0]
        if signs is not None and len(masks) < len(signs) and direction @ signs[len(masks)] < 0:
            direction = -direction
        similarity = (direction @ unit) * free
        anchor = similarity.argmax()
        similarity = (unit[:, anchor] @ unit) * free
        largest = similarity.max()
        similarity[similarity < threshold * largest] = 0
        soft = similarity / largest
        free = free & ~(soft > 0)
        masks.append(soft.view(height, width))
        directions.append(direction)
        history.append(free)
        if len(masks) > 3 and torch.equal(history[-1], history[-2]) and torch.equal(history[-1], history[-3]):
            break
    return torch.stack(masks), torch.stack(directions)


def published_log_probs(masks: Tensor) -> Tensor:
    """(M + 1, h, w) of two masks or more."""
    padded = F.pad(masks[None], (1, 1, 1, 1), mode='reflect')[0]
    windows = padded.unfold(1, 3, 1).unfold(2, 3, 1).flatten(3)
    filtered = (windows.median(-1).values * 10).clamp(0, 1)
    background = (filtered[filtered != 0].mean() - filtered.sum(0)).clamp(0, 1)
    return torch.cat([background[None], filtered]).log_softmax(0)
