"""Fitted stages as plain functions of tensors, for export: labels and features in, labels out, no Python in between."""

import torch
from torch import Tensor, nn


class TensorStage(nn.Module):
    """What a stage does of the first variant: labels (B, h, w) int64 and reduced features (B, D, h, w) to labels."""

    def forward(self, labels: Tensor, reduced: Tensor | None) -> Tensor:
        """The labels after the stage."""
        raise NotImplementedError


class LookUpLabels(TensorStage):
    """A new label for every label.

    Args:
        table: (K,) integers.
    """

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer('table', table.long().clone())

    def forward(self, labels: Tensor, reduced: Tensor | None) -> Tensor:
        """The table's entries."""
        return self.table[labels]


class ClusterForeground(TensorStage):
    """The nearest centroid where the label is not 0, else K.

    Args:
        centroids: (K, D).
        spherical: The one of largest inner product instead.
    """

    def __init__(self, centroids: Tensor, spherical: bool = False) -> None:
        super().__init__()
        self.register_buffer('centroids', centroids.float().clone())
        self.register_buffer('bias', torch.zeros(len(centroids)) if spherical else -self.centroids.square().sum(1) / 2)

    def forward(self, labels: Tensor, reduced: Tensor | None) -> Tensor:
        """Clusters of the foreground."""
        scores = reduced.float().permute(0, 2, 3, 1) @ self.centroids.T + self.bias
        return torch.where(labels != 0, scores.argmax(-1), len(self.centroids))
