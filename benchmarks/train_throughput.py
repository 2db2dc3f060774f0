"""train-throughput: images per second of tools/train.py's training, from JPEG files on, and where the time goes."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.base import Measurement, Option, Report, Table, benchmark
from benchmarks.training import CONFIGS, TimedBatches, seconds_per_batch, stop_workers, training_config


@benchmark('train-throughput')
class TrainThroughput(Measurement):
    """Images per second of a training from JPEG files: whole, step and data apart; share of the GEMM rate; memory."""

    expected: ClassVar[float] = 110.
    devices: ClassVar[tuple[str, ...]] = ('cpu', 'cuda')
    full_size: ClassVar[str] = 'batch 32 instead of 4 on the CPU, three times as many steps'
    options: ClassVar[dict[str, Option]] = dict(
        method=Option('leopart', 'whose config for a folder of images is trained', tuple(CONFIGS)),
        arch=Option('vit_small_patch16_224', 'network of timm, with random weights'),
        global_size=Option(224, 'side of the 2 global crops'),
        local_size=Option(96, 'side of the 4 local crops'),
        batch=Option(0, 'images per step; 0: 4 on the CPU, 128 on a GPU'),
        steps=Option(0, 'measured steps; 0: 3 on the CPU, 30 on a GPU'),
        workers=Option(0, 'loader processes; 0: the cores but one, at most 16'),
        dtype=Option('auto', 'auto: float32 on the CPU, bfloat16 on a GPU', ('auto', 'float32', 'bfloat16')),
        device_crops=Option('auto', 'crops cut by the device; auto: on a GPU', ('auto', 'True', 'False')),
        compile=Option(False, 'torch.compile of the blocks, model.backbone.compiled=True'))

    def setup(self, quick: bool) -> None:
        """JPEG files of 500 x 375 in a folder, and the config."""
        from benchmarks.textures import write_jpegs
        chosen, slow = dict(self.chosen), self.device == 'cpu'
        if quick:
            chosen = {**chosen, 'batch': 2, 'steps': 1, 'workers': 1, 'global_size': 64, 'local_size': 32}
        self.quick, self.batch = quick, chosen['batch'] or ((32 if self.full else 4) if slow else 128)
        self.steps = chosen['steps'] or (3 if slow else 30) * (3 if self.full else 1)
        self.workers = chosen['workers'] or max(1, min(16, (os.cpu_count() or 2) - 1))
        self.bfloat16 = chosen['dtype'] == 'bfloat16' or (chosen['dtype'] == 'auto' and not slow)
        device_crops = not slow if chosen['device_crops'] == 'auto' else chosen['device_crops'] == 'True'
        prefetch = 1 if slow else 2
        # What the workers have ready when the first step ends would make the loader look faster than it is.
        self.ready = self.workers * prefetch
        self.warm_up = 1 if quick else 1 + self.ready
        self.split = 0 if slow else self.steps
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        write_jpegs(folder / 'images', max(self.batch, 8 if quick else 64))
        self.cfg = training_config(
            chosen['method'], folder, {'model.backbone.compiled': chosen['compile'], 'device_crops': device_crops},
            self.warm_up + self.steps + self.split + 1, self.batch, self.workers,
            (chosen['global_size'], chosen['local_size']), chosen['arch'], self.bfloat16, quick, prefetch)

    def measure(self) -> Report:
        """Count the operations of a step, train, then read from the loader alone."""
        import torch

        from benchmarks.device import PeakDeviceMemory, clock_of
        from benchmarks.flops import counted_flops, gemm_rate
        from benchmarks.memory import PeakMemory
        from leopart_mm.compat import tune_cpu_allocator
        from leopart_mm.engine.console_runner import ConsoleRunner
        tune_cpu_allocator()  # as tools/train.py does
        clock = clock_of(self.device)
        rate = gemm_rate(self.device, torch.bfloat16 if self.bfloat16 else torch.float32, 0.1 if self.quick else 1.,
                         clock)
        memory, device_memory = PeakMemory(), PeakDeviceMemory(self.device)
        runner = ConsoleRunner.from_cfg(self.cfg)
        loop = runner.train_loop
        batches = TimedBatches(loop.dataloader_iterator, self.device, self.warm_up, self.steps, self.split, clock)
        flops = counted_flops(self._passes, runner.model, next(batches.batches)) / self.batch
        loop.dataloader_iterator = batches
        runner.train()
        peak, device_peak = memory.peak_mb(), device_memory.peak_mb()
        loader = seconds_per_batch(batches.batches, 1 + self.ready, self.steps)
        stop_workers(loop)
        return self._report(batches, loader, flops, rate, peak, device_peak)

    def _passes(self, model: Any, batch: dict) -> None:
        """The forward and backward pass of a step, in one part and not compiled, for counting."""
        import torch
        micro_batches, model.micro_batches = model.micro_batches, 1
        for module in networks(model):
            module.compiled = False
        model.train()
        model.before_step()
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.bfloat16):
            losses = model(**model.data_preprocessor(batch, True), mode='loss')
        model.parse_losses(losses)[0].backward()
        model.zero_grad()
        model.micro_batches = micro_batches
        for module in networks(model):
            module.compiled = self.chosen['compile']

    def _report(self, batches: TimedBatches, loader: float, flops: float, rate: float, peak: float,
                device_peak: float | None) -> Report:
        whole, (step, wait) = batches.whole(), batches.apart()

        def row(name: str, seconds: float, counted: bool) -> list[Any]:
            images = self.batch / seconds
            return [name, f'{1000 * seconds:.1f}', f'{images:.3g}', f'{flops * images / rate:.1%}' if counted else '']

        title = (f'train-throughput: {self.chosen["method"]}, {self.chosen["arch"]}, batch {self.batch}, '
                 f'{"bfloat16" if self.bfloat16 else "float32"}')
        rows = [row('whole training', whole, True), row('step', step, True),
                ['waiting for data', f'{1000 * wait:.1f}', '', ''], row('loader alone', loader, False)]
        of_device = '' if device_peak is None else f', of the device {device_peak:.0f} MB'
        lines = [f'{flops / 1e9:.1f} GFLOP per image (matrix products, convolutions and attention, forward and '
                 f'backward); matrix products run at {rate / 1e12:.3g} TFLOP/s here',
                 f'loader processes: {self.workers}; peak memory of the main process {peak:.0f} MB{of_device}']
        if batches.clock is time.process_time:
            lines.append('One thread computes: times of step and matrix products are processor time, which other '
                         'load of the machine does not change.')
        figures = dict(images_per_second=self.batch / whole, step_images_per_second=self.batch / step,
                       loader_images_per_second=self.batch / loader, step_seconds=step, wait_seconds=wait,
                       mfu=flops * self.batch / whole / rate, step_mfu=flops * self.batch / step / rate,
                       gemm_tflops=rate / 1e12, gflop_per_image=flops / 1e9, peak_mb=peak)
        if device_peak is not None:
            figures['peak_device_mb'] = device_peak
        return Report([Table(title, ['', 'ms per step', 'images/s', 'share of GEMM rate'], rows)], figures, lines)


def networks(model: Any) -> list[Any]:
    """The backbones of student and teacher."""
    from leopart_mm.models.backbones import DenseViT
    return [module for module in model.modules() if isinstance(module, DenseViT)]
