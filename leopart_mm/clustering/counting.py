"""How often numbers occur, without making the host wait for a GPU."""

import torch
from torch import Tensor

from leopart_mm.devices import move


def count_ids(ids: Tensor, number: int, weights: Tensor | None = None) -> Tensor:
    """How often each of the ids 0..number-1 occurs; torch.bincount, which on a GPU waits for the largest id.

    Args:
        ids: (n,) int64, all in 0..number-1.
        number: Number of ids.
        weights: (n,) float64 whole numbers that are summed instead, so that the order of a sum does not matter.

    Returns:
        (number,) int64, or float64 with weights.

    >>> count_ids(torch.tensor([2, 0, 2]), 4).tolist()
    [1, 0, 2, 0]
    """
    if ids.device.type in ('cpu', 'mps'):
        return torch.bincount(ids, weights=weights, minlength=number)
    values = torch.ones_like(ids) if weights is None else weights
    return torch.zeros(number, dtype=values.dtype, device=ids.device).scatter_add_(0, ids, values)


class NeighbourCounts:
    """The sums of `CoOccurrence` on a GPU, where all pairs of ids are counted, whether they occur or not.

    Args:
        num_clusters: K.
        device: Of the label maps.
    """

    max_cells = 2**24  # of a chunk's histogram: 128 MB

    def __init__(self, num_clusters: int, device: torch.device) -> None:
        self.num_clusters = num_clusters
        self.total = torch.zeros(num_clusters, num_clusters, dtype=torch.float64, device=device)
        self.images, self.pixels = (torch.zeros(num_clusters, dtype=torch.int64, device=device) for _ in range(2))

    def add(self, flat: Tensor, weights: Tensor, here: Tensor, there: Tensor, counts: Tensor) -> None:
        """Add label maps.

        Args:
            flat: (N, cells) int64, all in 0..K-1.
            weights: (cells,) int64 pixels of each cell, on the CPU as all that follow.
            here: (P,) cells.
            there: (P,) cells beside them.
            counts: (P,) float64, how many pixels lie beside each other.
        """
        weights, here, there, counts = (move(part, flat.device) for part in (weights, here, there, counts))
        self.pixels.scatter_add_(0, flat.flatten(), weights.expand_as(flat).flatten())
        for part in flat.split(max(1, self.max_cells // self.num_clusters**2)):
            pairs = part[:, here] * self.num_clusters + part[:, there]
            table = counts.new_zeros(len(part), self.num_clusters**2).scatter_add_(1, pairs, counts.expand_as(pairs))
            table = table.unflatten(1, (self.num_clusters, -1))
            table.diagonal(dim1=1, dim2=2).zero_()
            sizes = table.sum(2)
            self.total += table.div_(sizes.clamp(min=1)[..., None]).sum(0)
            self.images += (sizes > 0).sum(0)
