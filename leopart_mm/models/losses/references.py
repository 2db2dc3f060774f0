"""The reference vectors that NeCo ranks by similarity: from a queue of past patches, or from the batch itself."""

import torch
import torch.distributed as dist
from mmengine.dist import get_dist_info
from torch import Tensor

from leopart_mm.devices import to_device
from leopart_mm.geometry.crop_pairs import CropPairs
from leopart_mm.models.losses.embedding_queue import QueueState


def queue_references(state: QueueState, pairs: CropPairs, orders: Tensor, num_references: int) -> Tensor:
    """References from the queue of each pair's global crop (docs/methods/neco.md §3.3).

    Args:
        state: The queues.
        pairs: The crop pairs of this process's images.
        orders: (P, N·n) of `draw_permutations` for the N images of all processes: places in the queue, taken
            modulo the queue's fill. So rows repeat where the queue holds fewer than are asked for. An empty queue gives
            zeros.
        num_references: n per image; its query cells share them.

    Returns:
        (P, B, n, C) without gradient.
    """
    crops = to_device(torch.tensor([t for t, _ in pairs.pairs]), state.rows.device)
    local = to_device(_local_part(orders, pairs.batch * num_references), state.rows.device)
    places = local % state.fill[crops].clamp(min=1)[:, None]
    return state.rows[crops[:, None], places].unflatten(1, (pairs.batch, num_references)).detach()


def batch_references(candidates: Tensor, usable: Tensor | None, orders: Tensor, num_references: int,
                     gather: bool = True) -> tuple[Tensor, Tensor]:
    """References from the aligned teacher vectors of the same pair, of all images (docs/methods/neco.md §3.3).

    Args:
        candidates: (P, B, k·k, C) of this process. Gradients flow through.
        usable: (P, B, k·k) bool, candidates to choose from; None for all.
        orders: (P, N·n) for the N images of all processes: the candidate's place in the list of those of the pair,
            taken modulo their number. With few candidates each is used several times.
        num_references: n per image; its query cells share them.
        gather: Whether candidates are taken from all processes.

    Returns:
        (P, B, n, C), and (P,) bool: pairs that have a candidate at all.
    """
    batch = candidates.shape[1]
    rows = candidates.flatten(1, 2)
    chosen = usable.flatten(1) if usable is not None else rows.new_ones(rows.shape[:2], dtype=torch.bool)
    if gather and get_dist_info()[1] > 1:
        rows, chosen = _GatherRows.apply(rows), _GatherRows.apply(chosen.to(torch.uint8)).bool()
    listed = chosen.to(torch.uint8).argsort(dim=1, descending=True, stable=True)  # usable ones first, in their order
    number = chosen.sum(1)
    local = to_device(_local_part(orders, batch * num_references), rows.device)
    places = listed.gather(1, local % number.clamp(min=1)[:, None])
    drawn = rows.gather(1, places[..., None].expand(-1, -1, rows.shape[-1]))
    return drawn.unflatten(1, (batch, num_references)), number > 0


def _local_part(orders: Tensor, size: int) -> Tensor:
    """The columns of this process, where there are columns for all processes; else all columns are its own."""
    rank = get_dist_info()[0] if orders.shape[1] > size else 0
    return orders[:, rank * size:(rank + 1) * size]


class _GatherRows(torch.autograd.Function):
    """(P, m, ...) of every process -> (P, world·m, ...) on all, in order of rank; the gradients come back summed."""

    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(get_dist_info()[1])]
        dist.all_gather(parts, rows.contiguous())
        ctx.size = rows.shape[1]
        return torch.cat(parts, 1)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient[:, get_dist_info()[0] * ctx.size:(get_dist_info()[0] + 1) * ctx.size]
