"""A bounded random sample of tokens that does not depend on the order of images or the number of processes."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def token_priorities(seed: int, name: str, count: int) -> np.ndarray:
    """(count,) int64 random numbers of an image's tokens; they depend on the seed and the image's name alone."""
    digest = hashlib.blake2b(f'{seed}\0{name}'.encode(), digest_size=16).digest()
    generator = np.random.default_rng(int.from_bytes(digest, 'little'))
    return generator.integers(0, 2**63 - 1, size=count, dtype=np.int64)


class TokenSample:
    """Keeps the `size` tokens of smallest random priority of all that were offered: a uniform random sample.

    A token that is offered twice (an image that a distributed sampler repeats) is kept once. At most twice `size`
    vectors are in memory.

    Args:
        size: How many vectors to keep.
        seed: Another seed keeps other vectors.

    Raises:
        ValueError: `size` is less than 1.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        if size < 1:
            raise ValueError(f'The sample must hold at least 1 vector, not {size}.')
        self.size = size
        self.seed = seed
        self._limit = np.iinfo(np.int64).max
        self._priorities: list[np.ndarray] = []
        self._vectors: list[Tensor] = []
        self._pending = 0

    def update(self, name: str, vectors: Tensor) -> None:
        """Offer the tokens (n, C) of the image `name`; names must tell images apart."""
        self._add(token_priorities(self.seed, name, len(vectors)), vectors.detach())

    def update_chosen(self, name: str, vectors: Tensor, chosen: Tensor) -> None:
        """Offer rows `chosen` (n,), repeats allowed, of the vectors (m, C) of the image `name`, without copying all."""
        priorities = token_priorities(self.seed, name, len(chosen))
        kept = np.flatnonzero(priorities < self._limit)
        rows = chosen[torch.from_numpy(kept).to(chosen.device)]
        self._add(priorities[kept], vectors.detach()[rows])

    def _add(self, priorities: np.ndarray, vectors: Tensor) -> None:
        chosen = np.flatnonzero(priorities < self._limit)
        if not len(chosen):
            return
        self._priorities.append(priorities[chosen])
        self._vectors.append(vectors[torch.from_numpy(chosen).to(vectors.device)].float().cpu())
        self._pending += len(chosen)
        if self._pending > 2 * self.size:
            self._shrink()

    def _shrink(self) -> None:
        if not self._priorities:
            return
        priorities, first = np.unique(np.concatenate(self._priorities), return_index=True)
        keep = torch.from_numpy(first[:self.size])
        self._vectors = [torch.cat(self._vectors)[keep]]
        self._priorities = [priorities[:self.size]]
        self._pending = len(keep)
        if self._pending == self.size:
            self._limit = int(self._priorities[0][-1])

    def state(self) -> tuple[np.ndarray, Tensor]:
        """Priorities (n,), rising, and vectors (n, C): what `merged` takes. n <= size, 0 if nothing was offered."""
        self._shrink()
        if not self._vectors:
            return np.zeros(0, np.int64), torch.zeros(0, 0)
        return self._priorities[0], self._vectors[0]

    @property
    def vectors(self) -> Tensor:
        """The sample, (n, C) float32 on the CPU, in order of priority."""
        return self.state()[1]

    @classmethod
    def merged(cls, states: Sequence[tuple[np.ndarray, Tensor]], size: int, seed: int = 0) -> 'TokenSample':
        """One sample of what several processes sampled."""
        sample = cls(size, seed)
        for priorities, vectors in states:
            sample._add(priorities, vectors)
        return sample
