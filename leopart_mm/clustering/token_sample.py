"""A bounded random sample of tokens that does not depend on the order of images or the number of processes."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from leopart_mm.devices import move

NEVER = np.iinfo(np.int64).max  # a priority that is never drawn


def token_priorities(seed: int, key: str, count: int) -> np.ndarray:
    """(count,) int64 random numbers of an image's tokens; they depend on the seed and the image's key alone."""
    # Names of files that are not UTF-8 hold surrogates.
    digest = hashlib.blake2b(f'{seed}\0{key}'.encode(errors='surrogateescape'), digest_size=16).digest()
    generator = np.random.default_rng(int.from_bytes(digest, 'little'))
    return generator.integers(0, 2**63 - 1, size=count, dtype=np.int64)


class TokenSample:
    """Keeps the `size` tokens of smallest random priority of all that were offered: a uniform random sample.

    A token that is offered twice (an image that a distributed sampler repeats) is kept once. The buffer holds a quarter
    more than `size` vectors, on the device of the first ones. Priorities are drawn on the CPU, alike for every
    device.

    Source: bottom-k sampling (Cohen and Kaplan, 2007).

    Args:
        size: Number of vectors to keep.
        seed: Seed of the choice of vectors.

    Raises:
        ValueError: If `size` is less than 1.
        MemoryError: If the vectors do not fit into the memory, when the first ones come.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        if size < 1:
            raise ValueError(f'The sample must hold at least 1 vector, not {size}.')
        self.size = size
        self.seed = seed
        self._limit = NEVER
        self._count = 0
        self._priorities = np.empty(size + size // 4 + 1024, np.int64)
        self._vectors: Tensor | None = None
        self._exists: Tensor | None = None  # of what `update_masked` offered on a GPU: whether it was inside

    def update(self, key: str, vectors: Tensor) -> None:
        """Offer the tokens (n, C) of an image; keys must tell images apart."""
        self._add(token_priorities(self.seed, key, len(vectors)), vectors.detach())

    def update_masked(self, key: str, vectors: Tensor, cells: Tensor, inside: Tensor) -> None:
        """Offer those vectors of an image that lie inside a mask, without copying all.

        Args:
            key: Key of the image.
            vectors: (m, C).
            cells: (n,) int64, rows of `vectors`; repeats allowed.
            inside: (n,) bool: which of these are offered. On a GPU the host need not know their number.
        """
        if inside.device.type == 'cpu':
            chosen = cells[inside]
            priorities = token_priorities(self.seed, key, len(chosen))
            kept = np.flatnonzero(priorities < self._limit)
            self._add(priorities[kept], vectors.detach()[chosen[torch.from_numpy(kept)]])
            return
        priorities = token_priorities(self.seed, key, len(cells))
        kept = np.flatnonzero(priorities < self._limit)
        ranks = move(torch.from_numpy(kept), cells.device)
        in_order = torch.argsort((~inside).byte(), stable=True)  # those inside come first
        rows = cells[in_order[ranks]]
        self._add(priorities[kept], vectors.detach()[rows], ranks < inside.sum())

    def _add(self, priorities: np.ndarray, vectors: Tensor, exists: Tensor | None = None) -> None:
        chosen = np.flatnonzero(priorities < self._limit)
        if self._vectors is None and len(chosen):
            self._vectors = _buffer(len(self._priorities), vectors.shape[1], vectors.device)
        if exists is not None and self._exists is None and len(chosen):
            self._exists = torch.ones(len(self._priorities), dtype=torch.bool, device=vectors.device)
        while len(chosen):
            room = len(self._priorities) - self._count
            now, chosen = chosen[:room], chosen[room:]
            end = self._count + len(now)
            rows = move(torch.from_numpy(now), vectors.device)
            self._priorities[self._count:end] = priorities[now]
            self._vectors[self._count:end] = vectors[rows]
            if self._exists is not None:
                self._exists[self._count:end] = True if exists is None else exists[rows]
            self._count = end
            if end == len(self._priorities):
                self._shrink()

    def _shrink(self) -> None:
        """Keep the `size` smallest, in place: what is kept at the end of the buffer fills the gaps before it."""
        if self._exists is not None:  # the only transfer to the host, once per full buffer
            self._priorities[:self._count][~self._exists[:self._count].cpu().numpy()] = NEVER
            self._exists.fill_(True)
        smallest, first = np.unique(self._priorities[:self._count], return_index=True)
        first = first[smallest < NEVER]
        kept = first[:self.size]
        self._count = len(kept)
        is_kept = np.zeros(len(self._priorities), bool)
        is_kept[kept] = True
        gaps = np.flatnonzero(~is_kept[:self._count])
        late = self._count + np.flatnonzero(is_kept[self._count:])
        self._priorities[gaps] = self._priorities[late]
        if len(late):
            gaps, late = (move(torch.from_numpy(rows), self._vectors.device) for rows in (gaps, late))
            self._vectors[gaps] = self._vectors[late]
        if self._count == self.size:
            self._limit = int(smallest[self.size - 1])

    def state(self) -> tuple[np.ndarray, Tensor]:
        """Priorities (n,), rising, and vectors (n, C), as `merged` takes them; n <= size, 0 if nothing was offered."""
        if self._vectors is None:
            return np.zeros(0, np.int64), torch.zeros(0, 0)
        self._shrink()
        order = np.argsort(self._priorities[:self._count])
        return self._priorities[order], self._vectors[move(torch.from_numpy(order), self._vectors.device)]

    @property
    def vectors(self) -> Tensor:
        """The sample, (n, C) float32 on the device of the vectors, in order of priority."""
        return self.state()[1]

    @classmethod
    def merged(cls, states: Sequence[tuple[np.ndarray, Tensor]], size: int, seed: int = 0) -> 'TokenSample':
        """One sample of what several processes sampled."""
        sample = cls(size, seed)
        for priorities, vectors in states:
            sample._add(priorities, vectors)
        return sample


def _buffer(rows: int, channels: int, device: torch.device) -> Tensor:
    try:
        return torch.empty(rows, channels, device=device)
    except RuntimeError as error:
        raise MemoryError(f'A sample of {rows} vectors of {channels} channels takes {4e-9 * rows * channels:.0f} GB, '
                          f'more than there is on {device}: take fewer clusters, or keep fewer vectors (num_samples).'
                          ) from error
