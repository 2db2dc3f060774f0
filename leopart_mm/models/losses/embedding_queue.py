"""A queue of past teacher embeddings, one for each global crop."""

from typing import NamedTuple

import torch
import torch.distributed as dist
from mmengine.dist import get_dist_info
from torch import Tensor, nn

from leopart_mm.devices import to_device
from leopart_mm.models.losses.draws import draw_permutations, keep_counter

COUNTINGS = ('each', 'shared')


class QueueState(NamedTuple):
    """Rows (T, length, C), newest first, and fill (T,), how many of them count as filled."""

    rows: Tensor
    fill: Tensor


class EmbeddingQueue(nn.Module):
    """First-in first-out queues of teacher embeddings as buffers, so that checkpoints hold them (Leopart, suppl.).

    A step calls `stage` with its embeddings, in the loss, and `commit`, after the optimiser's step. Until then `state`
    and `share` give the queue as the step found it (Leopart scores that), `stage` returns it as it will be (NeCo ranks
    the references in that). In evaluation mode `stage` stages nothing: looking does not change what training finds.

    The queue is one and the same on all processes: what is pushed is drawn from the tokens of all of them by a
    generator that all of them seed alike. With several processes each takes its share of the rows into Sinkhorn, so 1
    and N processes give the same assignments. Nothing here waits for the device or depends on its data in Python.

    Args:
        length: Rows per queue. Published: 8192 divided by the number of GPUs, on each GPU.
        embed_dims: C.
        num_queues: T, number of global crops. Defaults to 2.
        per_image: Rows pushed per step for every image of the (whole) batch. Defaults to 10.
        partial: Whether the filled part of a queue is used before it is full. Defaults to False, as published.
        gather: Whether there is one queue for all processes. False (published): each process keeps its own queue of
            length // processes; only that of rank 0 is in the checkpoint. Defaults to True.
        counting: 'each': every queue counts its own rows. 'shared' (published NeCo): one counter that every queue's
            push raises, so that T queues claim T times their fill until it reaches the length; the rest are zeros.
            Defaults to 'each'.
        seed: Seed of the random choice of pushed tokens. Defaults to 0.

    Raises:
        ValueError: If `counting` is unknown or `length` below 1.
    """

    def __init__(self,
                 length: int,
                 embed_dims: int,
                 num_queues: int = 2,
                 per_image: int = 10,
                 partial: bool = False,
                 gather: bool = True,
                 counting: str = 'each',
                 seed: int = 0) -> None:
        super().__init__()
        if counting not in COUNTINGS:
            raise ValueError(f'counting={counting!r} is unknown; choose one of {COUNTINGS}')
        if length < 1:
            raise ValueError(f'length={length}: a queue has at least 1 row; set queue=None to train without one')
        if not gather:
            length = max(1, length // get_dist_info()[1])
        self.per_image, self.partial, self.gather, self.seed = per_image, partial, gather, seed
        self.counting = counting
        self.register_buffer('rows', torch.zeros(num_queues, length, embed_dims))
        self.register_buffer('fill', torch.zeros(num_queues, dtype=torch.long))
        self.pushes: int
        keep_counter(self, 'pushes')  # decides, with the seed, which tokens are drawn
        self._staged: QueueState | None = None

    @property
    def length(self) -> int:
        """Rows per queue."""
        return self.rows.shape[1]

    @property
    def state(self) -> QueueState:
        """What the queue holds."""
        return QueueState(self.rows, self.fill)

    def share(self) -> tuple[Tensor, Tensor]:
        """This process's rows (T, m, C) for Sinkhorn, and (T, m) bool: which of them are to be used now."""
        index = torch.arange(self.length, device=self.rows.device)
        usable = index < self.fill[:, None] if self.partial else (self.fill[:, None] >= self.length).expand(
            -1, self.length)
        rank, world = get_dist_info() if self.gather else (0, 1)
        return self.rows[:, rank::world], usable[:, rank::world]

    def commit(self) -> None:
        """Make the staged state the queue's. Nothing happens if nothing was staged since the last time."""
        staged, self._staged = self._staged, None
        if staged is not None:
            self.rows.copy_(staged.rows)
            self.fill.copy_(staged.fill)
            self.pushes += 1

    @torch.compiler.disable  # the draw is nothing to trace
    @torch.no_grad()
    def stage(self, embeddings: Tensor, valid: Tensor | None = None, order: Tensor | None = None) -> QueueState:
        """Push a random subset of this step's tokens in front, the oldest rows falling off; `commit` makes it so.

        Args:
            embeddings: (T, B, n, C) teacher embeddings of this process.
            valid: (T, B, n) bool, the tokens to choose from; where they are fewer than the slots, only they are pushed.
            order: (T, N) permutation of the tokens of all processes to take the first from. Defaults to a random one.

        Returns:
            What the queue will hold; in evaluation mode, what it holds.
        """
        if self.training:
            self._staged = self._pushed(embeddings, valid, order)
        return self._staged if self.training else self.state

    def _pushed(self, embeddings: Tensor, valid: Tensor | None, order: Tensor | None) -> QueueState:
        num_queues, batch, tokens = embeddings.shape[:3]
        rank, world = get_dist_info() if self.gather else (0, 1)
        total = world * batch * tokens
        slots = min(self.per_image * batch * world, self.length, total)
        if order is None:
            order = draw_permutations(num_queues, total, self.seed, self.pushes)
        order = to_device(order, embeddings.device)
        count = torch.full((num_queues, ), slots, device=embeddings.device)
        if valid is not None:
            candidates = self._gather(valid.flatten(1)).gather(1, order)
            order = order.gather(1, candidates.to(torch.uint8).argsort(dim=1, descending=True, stable=True))
            count = candidates.sum(1).clamp_(max=slots)
        chosen = order[:, :slots] - rank * batch * tokens
        is_local = (chosen >= 0) & (chosen < batch * tokens)
        chosen = chosen.clamp(0, batch * tokens - 1)[..., None].expand(-1, -1, embeddings.shape[-1])
        new = embeddings.flatten(1, 2).to(self.rows.dtype).gather(1, chosen) * is_local[..., None]
        if world > 1:
            dist.all_reduce(new)
        # Row i of the queue: the i-th new row, or the old row that was `count` places before.
        index = torch.arange(self.length, device=new.device).expand(num_queues, -1)
        source = torch.where(index < count[:, None], index, index - count[:, None] + slots)
        rows = torch.cat([new, self.rows], 1)
        raised = count.sum().expand(num_queues) if self.counting == 'shared' else count
        return QueueState(
            rows.gather(1, source[..., None].expand(-1, -1, rows.shape[-1])),
            (self.fill + raised).clamp_(max=self.length))

    def _gather(self, valid: Tensor) -> Tensor:
        """(T, n) of this process -> (T, world·n) of all, in order of rank."""
        world = get_dist_info()[1] if self.gather else 1
        if world == 1:
            return valid
        parts = [torch.empty_like(valid, dtype=torch.uint8) for _ in range(world)]
        dist.all_gather(parts, valid.to(torch.uint8).contiguous())
        return torch.cat(parts, 1).bool()
