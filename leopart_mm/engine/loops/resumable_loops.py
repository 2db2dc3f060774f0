"""Training loops that resume at the very sample where a run stopped."""

import itertools
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmengine.runner.loops import _InfiniteDataloaderIterator

from leopart_mm.registry import LOOPS


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """MMEngine's loop by epochs, which goes on in the middle of an epoch if the checkpoint is from there.

    MMEngine's own starts that epoch again, so the run becomes longer than its schedules. The batches already seen are
    read and dropped. Arguments are those of `EpochBasedTrainLoop`.
    """

    def run_epoch(self) -> None:
        """One epoch, or the rest of it."""
        seen = self._iter - self._epoch * len(self.dataloader)
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for idx, data_batch in itertools.islice(enumerate(self.dataloader), max(0, seen), None):
            self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


@LOOPS.register_module()
class ResumableIterLoop(IterBasedTrainLoop):
    """MMEngine's loop by iterations, which resumes without reading all past batches again.

    It needs a sampler that can start anywhere (`InfiniteDrawSampler`); with others it does as MMEngine does. Arguments
    are those of `IterBasedTrainLoop`.
    """

    def run(self) -> Any:
        """Train to the end."""
        sampler = self.dataloader.sampler
        if self._iter > 0 and hasattr(sampler, 'start'):
            sampler.start = self._iter * self.dataloader.batch_size
            self.dataloader_iterator = _AlreadyAdvanced(_InfiniteDataloaderIterator(self.dataloader), self._iter)
        return super().run()


class _AlreadyAdvanced:
    """An iterator whose first `steps` values, which MMEngine drops, are not produced."""

    def __init__(self, iterator: Any, steps: int) -> None:
        self.iterator, self.steps = iterator, steps

    def __next__(self) -> Any:
        if self.steps > 0:
            self.steps -= 1
            return None
        return next(self.iterator)
