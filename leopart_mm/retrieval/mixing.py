"""From neighbours to a label: cross-attention of a query to its nearest keys (docs/methods/neco.md §8.4)."""

import torch
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
