"""Search in a memory whose rows are spread over the processes: each searches for all queries, results are merged."""

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, gather, get_rank
from torch import Tensor


def gather_queries(queries: Tensor) -> list[Tensor]:
    """The queries (Q_r, D) of every process, in order of rank; a collective call."""
    sizes = [int(size) for size in all_gather(torch.tensor([len(queries)], device=queries.device))]
    padded = F.pad(queries, (0, 0, 0, max(sizes) - len(queries)))
    return [part[:size] for part, size in zip(all_gather(padded), sizes, strict=True)]


def merge_shards(similarities: Tensor, counts: Tensor, k: int, owner: int) -> tuple[Tensor, Tensor] | None:
    """The `k` best of what all processes found for the queries of process `owner`; a collective call.

    Args:
        similarities: (Q, m) of this process, m <= k (a shard may hold fewer keys).
        counts: (Q, m, C) pixel counts of the neighbours, in the same integer type on all processes.
        k: Number of neighbours.
        owner: Rank of the process that gets the result.

    Returns:
        (Q, k) and (Q, k, C), or None on the other processes.
    """
    missing = k - similarities.shape[1]
    similarities = F.pad(similarities, (0, missing), value=-torch.inf)
    counts = F.pad(counts, (0, 0, 0, missing))
    # As bytes: not every backend knows 16-bit integers.
    lists, bytes_ = gather(similarities, dst=owner), gather(counts.contiguous().view(torch.uint8), dst=owner)
    if get_rank() != owner:
        return None
    similarities = torch.cat(lists, dim=1)
    order = similarities.argsort(dim=1, descending=True, stable=True)[:, :k]
    counts = torch.cat([part.view(counts.dtype) for part in bytes_], dim=1)
    return similarities.gather(1, order), counts.gather(1, order[..., None].expand(-1, -1, counts.shape[2]))
