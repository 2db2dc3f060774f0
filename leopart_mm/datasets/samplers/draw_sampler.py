"""Samplers that number their draws, so that crops and photometric noise are the same after a resume."""

from collections.abc import Iterator, Sized

import torch
from mmengine.dataset import DefaultSampler
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from leopart_mm.datasets.samplers.draw import Draw
from leopart_mm.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class DrawSampler(DefaultSampler):
    """MMEngine's `DefaultSampler` (by epochs) whose indices are `Draw` objects.

    The number of a draw is ``epoch * samples per epoch + place in the shuffled epoch``: it does not depend on the
    number of workers or processes, and a run resumed at an epoch continues with the numbers of that epoch. Use it with
    `EpochBasedTrainLoop`. Arguments are those of `DefaultSampler`.
    """

    def __iter__(self) -> Iterator[Draw]:
        first = self.epoch * self.total_size + self.rank
        for i, index in enumerate(super().__iter__()):
            yield Draw(index, first + i * self.world_size, self.seed)


@DATA_SAMPLERS.register_module()
class InfiniteDrawSampler(Sampler):
    """An endless sampler of `Draw` objects, reshuffled after each pass, for `IterBasedTrainLoop`.

    Rank r of W gets the draws r, r + W, r + 2W, ... Every pass visits each image once, in an order that is a function
    of (seed, pass).

    Args:
        dataset: The data set; only its length is used.
        shuffle: Whether each pass has a new random order.
        seed: Seed, the same on all processes; by default one is drawn and shared.

    Attributes:
        start (int): Number of draws of this rank to leave out at the beginning. MMEngine's loop reads all past batches
            again when it resumes; a loop that sets ``start = iterations * batch size`` need not.

    Raises:
        ValueError: If the data set is empty.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None) -> None:
        if len(dataset) == 0:
            raise ValueError('InfiniteDrawSampler: the data set is empty: check its data_root and ann_file')
        self.rank, self.world_size = get_dist_info()
        self.size = len(dataset)
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.start = 0

    def __iter__(self) -> Iterator[Draw]:
        number = self.rank + self.start * self.world_size
        current, order = -1, []
        while True:
            if number // self.size != current:
                current = number // self.size
                order = self._order(current)
            yield Draw(order[number % self.size], number, self.seed)
            number += self.world_size

    def __len__(self) -> int:
        return self.size

    def _order(self, number: int) -> list[int]:
        if not self.shuffle:
            return list(range(self.size))
        return torch.randperm(self.size, generator=torch.Generator().manual_seed(self.seed + number)).tolist()
