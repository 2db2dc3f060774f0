"""Dense retrieval the published way, written out from its description; no published code is in here.

Source: docs/methods/neco.md §8.

All soft labels are float one-hot means, the memory is one index, every query gathers the features of its neighbours to
compute the cosines again, and all label maps stay in memory until the score.
"""

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.published_unsupervised import hungarian_miou


def patch_labels(labels: Tensor, patch: int, num_classes: int) -> Tensor:
    """Label maps (B, H, H) to (B, grid * grid, C): void becomes class 0, one-hot, mean over each patch."""
    labels = labels.masked_fill(labels == 255, 0)
    one_hot = F.one_hot(labels, num_classes).float().permute(0, 3, 1, 2)
    windows = one_hot.unfold(2, patch, patch).unfold(3, patch, patch)
    return windows.mean((-1, -2)).permute(0, 2, 3, 1).flatten(1, 2)


class PublishedMemory:
    """Keys, soft labels and a flat index over the keys."""

    def __init__(self, batches: Iterable[tuple[Tensor, Tensor]], patch: int, num_classes: int) -> None:
        import faiss
        keys, labels = [], []
        for features, maps in batches:
            keys.append(features.flatten(0, 1) / features.flatten(0, 1).norm(dim=1, keepdim=True))
            labels.append(patch_labels(maps, patch, num_classes).flatten(0, 1))
        self.keys, self.labels = torch.cat(keys), torch.cat(labels)
        self.index = faiss.IndexFlatIP(self.keys.shape[1])
        self.index.add(self.keys.numpy())

    def predict(self, features: Tensor, k: int, temperature: float, size: int) -> Tensor:
        """Features (B, n, D) to label maps (B, size, size)."""
        batch, tokens, channels = features.shape
        rows = torch.from_numpy(self.index.search(features.reshape(-1, channels).numpy(), k)[1])
        keys = self.keys[rows].view(batch, tokens, k, channels)
        labels = self.labels[rows].view(batch, tokens, k, -1)
        queries = F.normalize(features, dim=-1)[:, :, None]
        attention = torch.softmax((queries @ F.normalize(keys, dim=-1).transpose(-1, -2)) / temperature, dim=-1)
        soft = (attention @ labels).squeeze(2)
        grid = int(tokens**0.5)
        maps = soft.transpose(1, 2).unflatten(2, (grid, grid))
        return F.interpolate(maps, (size, size), mode='bilinear', align_corners=False).argmax(1)


def score(predictions: list[Tensor], truths: list[Tensor], num_classes: int) -> float:
    """Hungarian mIoU of all maps at once."""
    pred, gt = (torch.cat(maps).numpy().reshape(-1) for maps in (predictions, truths))
    return hungarian_miou(np.asarray(pred), np.asarray(gt), num_classes, num_classes)
