"""Short trainings by the configs and the Runner of tools/train.py, and their times, batch by batch."""

import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CONFIGS = dict(leopart='leopart/leopart_dino-vits16_folder.py', neco='neco/neco_dinov2r-vits14_folder.py',
               paka='paka/paka_dinov2r-vits14_folder.py')
ROOT = Path(__file__).resolve().parent.parent / 'configs'
OF_LONG_RUNS = ('VerdictHook', 'BackboneCheckpointHook')  # work at the ends of a run, of which a short one is full
TINY = dict(model=dict(backbone=dict(model_kwargs=dict(depth=1, embed_dim=32, num_heads=2)),
                       neck=dict(hidden_channels=32)))


def training_config(method: str, folder: Path, changes: dict[str, Any], iterations: int, batch: int, workers: int,
                    crops: tuple[int, int], arch: str, bfloat16: bool = False, tiny: bool = False,
                    prefetch: int = 2, launcher: str = 'none') -> Any:
    """The config of a method for a folder of images, with random weights, without checkpoints and verdicts.

    Args:
        method: A key of CONFIGS.
        folder: Its folder `images` is trained on; logs go beside it.
        changes: Further keys of the config, dotted or not.
        iterations: Steps.
        batch: Images per step and process.
        workers: Loader processes.
        crops: Sides of global and local crops, in pixels.
        arch: Network of timm.
        bfloat16: Whether matrix products are in bfloat16.
        tiny: One block of 32 channels, for tests.
        prefetch: Batches that each worker makes ahead.
        launcher: 'pytorch' where processes have been started by it.
    """
    from leopart_mm.apis.runner_stages import own_config
    from leopart_mm.engine.cli import config_from_args
    options = dict(data_root=str(folder / 'images'), arch=arch, checkpoint=None, crop_sizes=list(crops),
                   iterations=iterations, **{'train_dataloader.batch_size': batch,
                                             'train_dataloader.num_workers': workers}, **changes)
    cfg = own_config(config_from_args(Namespace(
        config=str(ROOT / CONFIGS[method]), cfg_options=options, launcher=launcher, work_dir=str(folder / 'work'),
        local_rank=0, no_pin_memory=False, no_persistent_workers=False)), 'benchmark')
    if workers:
        cfg.train_dataloader.prefetch_factor = prefetch
    if tiny:
        cfg.merge_from_dict(TINY)
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if not hook['type'].endswith(OF_LONG_RUNS)]
    cfg.default_hooks.update(checkpoint=None)
    cfg.default_hooks.pop('verdict', None)
    cfg.log_level = 'WARNING'
    if bfloat16:
        cfg.optim_wrapper.update(type='leopart_mm.MixedPrecisionOptimWrapper', dtype='bfloat16')
    return cfg


class TimedBatches:
    """An iterator over batches that notes when each was asked for and when it came.

    Args:
        batches: The iterator.
        device: Device of the training. A GPU works on while the next batch is asked for; so a whole training is timed
            between two waits for the device, and then a part of its own waits in every step.
        warm_up: Batches that are not timed.
        steps: Batches that are timed without waiting for the device.
        split: Batches after these that are timed with waiting; 0: a step never works on, and `steps` serve for this.
        clock: Of steps; waiting, and the whole, are timed on the wall.
    """

    def __init__(self, batches: Iterator[Any], device: str, warm_up: int, steps: int, split: int,
                 clock: Callable[[], float] = time.perf_counter) -> None:
        self.batches, self.device = batches, device
        self.warm_up, self.steps, self.split = warm_up, steps, split
        self.asked: list[float] = []
        self.got: list[float] = []
        self.clock, self.ends, self.starts = clock, [], []

    def __next__(self) -> Any:
        from benchmarks.device import synchronise
        number, end = len(self.asked), self.warm_up + self.steps
        if number == self.warm_up or number >= end:
            synchronise(self.device)
        self.ends.append(self.clock())
        self.asked.append(time.perf_counter())
        batch = next(self.batches)
        self.got.append(time.perf_counter())
        self.starts.append(self.clock())
        return batch

    def whole(self) -> float:
        """Mean seconds per step, with the wait for its batch."""
        return (self.asked[self.warm_up + self.steps] - self.asked[self.warm_up]) / self.steps

    def apart(self) -> tuple[float, float]:
        """Mean seconds of a step alone and of the wait for its batch."""
        start = self.warm_up + (self.steps if self.split else 0)
        numbers = range(start, start + (self.split or self.steps))
        step = sum(self.ends[number + 1] - self.starts[number] for number in numbers)
        wait = sum(self.got[number] - self.asked[number] for number in numbers)
        return step / len(numbers), wait / len(numbers)


def seconds_per_batch(batches: Iterator[Any], ready: int, count: int) -> float:
    """Mean seconds until the next batch when nothing else is done, after `ready` batches that may lie ready."""
    for _ in range(ready):
        next(batches)
    start = time.perf_counter()
    for _ in range(count):
        next(batches)
    return (time.perf_counter() - start) / count


def stop_workers(loop: Any) -> None:
    """End the loader processes of a training loop, before the files that they read are removed."""
    if loop.dataloader.num_workers:
        loop.dataloader._iterator._shutdown_workers()
