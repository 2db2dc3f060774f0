"""Training loops that resume at the exact sample where a run was interrupted."""

import itertools
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader

from leopart_mm.registry import LOOPS


def require_batches(loader: DataLoader) -> None:
    """Raise a ValueError if there is no batch to train on: an empty training would end as one that worked."""
    if len(loader) == 0:
        raise ValueError(f'There is no training batch: {len(loader.dataset)} images are fewer than a batch of '
                         f'{loader.batch_size}. Set train_dataloader.batch_size, or train_dataloader.drop_last=False.')


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """MMEngine's loop by epochs, which resumes in the middle of an epoch if the checkpoint was written there.

    MMEngine's loop starts that epoch again, so that the run becomes longer than its schedules. Here the batches that
    were seen already are read and dropped. The arguments are those of `EpochBasedTrainLoop`.

    Raises:
        ValueError: If an epoch has no batch, as of fewer images than a batch with ``drop_last``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        require_batches(self.dataloader)

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

    It needs a sampler that can start anywhere (`InfiniteDrawSampler`); with any other it reads them, as MMEngine does.
    The arguments are those of `IterBasedTrainLoop`.

    Relies on two details of MMEngine 0.10 that are not public, checked by tests/engine/test_resume.py:

    - `IterBasedTrainLoop.run` advances ``self.dataloader_iterator`` by ``next``, once per past iteration, before it
      trains, and drops what it gets. `_AlreadyAdvanced` gives it None that often and reads nothing.
    - ``self.dataloader_iterator`` is an `_InfiniteDataloaderIterator`, which may be replaced before `run` by a new one
      around the same data loader. A new one is needed since the constructor's has started its workers, with the
      sampler's old start.
    """

    def run(self) -> Any:
        """Train to the end."""
        sampler = self.dataloader.sampler
        if self._iter > 0 and hasattr(sampler, 'start'):
            sampler.start = self._iter * self.dataloader.batch_size
            self.dataloader_iterator = _AlreadyAdvanced(_InfiniteDataloaderIterator(self.dataloader), self._iter)
        return super().run()


class _AlreadyAdvanced:
    """An iterator whose first `steps` values are None: MMEngine drops that many."""

    def __init__(self, iterator: Any, steps: int) -> None:
        self.iterator, self.steps = iterator, steps

    def __next__(self) -> Any:
        if self.steps > 0:
            self.steps -= 1
            return None
        return next(self.iterator)
