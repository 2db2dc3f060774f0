"""scaling: time against the number of images, on one process and on two, of a training and of a fit."""

import os
import pickle
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.base import Measurement, Option, Report, Table, benchmark
from leopart_mm.cli.leaving import leaving_the_others

Points = list[tuple[int, float]]  # images (of all processes together) and the seconds that they took


@benchmark('scaling')
class Scaling(Measurement):
    """Seconds against images of a Leopart training and of an OverclusterHead fit, on 1 and 2 processes: lines."""

    expected: ClassVar[float] = 120.
    devices: ClassVar[tuple[str, ...]] = ('cpu', 'cuda')
    threads: ClassVar[int | None] = 1  # per process: what a second one brings, not what more threads bring
    full_size: ClassVar[str] = 'ViT-S/16, 24 steps of batch 16 per process; a fit of 2,000 images with K = 500'
    options: ClassVar[dict[str, Option]] = dict(
        processes=Option(2, 'the larger number of processes; on CUDA each needs a GPU of its own'))

    def setup(self, quick: bool) -> None:
        """JPEG files in a folder, and the sizes of training and fit."""
        import torch

        from benchmarks.textures import write_jpegs
        self.folder = tempfile.TemporaryDirectory()
        large = self.full or self.device != 'cpu'
        self.work = dict(
            folder=self.folder.name, device=self.device, quick=quick, workers=1,
            arch='vit_small_patch16_224' if large else 'vit_tiny_patch16_224',
            steps=3 if quick else 24 if large else 6, batch=2 if quick else 16 if large else 4,
            images=(8, 16, 24) if quick else (500, 1000, 2000) if large else (60, 120, 240),
            clusters=8 if quick else 500 if large else 100, channels=16 if quick else 384,
            threads=torch.get_num_threads())
        write_jpegs(Path(self.folder.name) / 'images', 64)

    def measure(self) -> Report:
        """Start the processes, and draw lines through their times."""
        import torch
        counts, lines = [1, self.chosen['processes']], []
        if self.device != 'cpu' and torch.cuda.device_count() < counts[1]:
            lines.append(f'{counts[1]} processes need as many GPUs; there is {torch.cuda.device_count()}.')
            counts.pop()
        found = {(kind, processes): points for processes in counts
                 for kind, points in run_processes(processes, self.work).items()}
        return report(found, lines)


def fitted_line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Slope and intercept of the line with the least squared vertical distances to the points.

    >>> fitted_line([(0, 1), (1, 3), (2, 5)])
    (2.0, 1.0)
    """
    x, y = np.array(points, float).T
    centred = x - x.mean()
    slope = float(centred @ (y - y.mean()) / (centred @ centred))
    return slope, float(y.mean() - slope * x.mean())


def report(found: dict[tuple[str, int], Points], lines: list[str]) -> Report:
    """The points, and the lines through them.

    Args:
        found: Points by work and number of processes; those of one process first.
        lines: Remarks.
    """
    points = Table('scaling: seconds', ['work', 'processes', 'images', 'seconds'],
                   [[kind, processes, images, seconds] for (kind, processes), pairs in found.items()
                    for images, seconds in pairs])
    rows, figures = [], {}
    for (kind, processes), pairs in found.items():
        slope, intercept = fitted_line(pairs)
        faster = fitted_line(found[kind, 1])[0] / slope
        rows.append([kind, processes, 1000 * slope, intercept, 1 / slope, f'{faster:.2f}x'])
        figures.update({f'{kind}_{processes}_images_per_second': 1 / slope, f'{kind}_{processes}_start': intercept})
    table = Table('scaling: seconds = slope x images + start (least squares)',
                  ['work', 'processes', 'slope, ms per image', 'start, s', 'images/s', 'than one process'], rows)
    return Report([points, table], figures, [
        *lines, 'The start of a training: loader processes, first step; of a fit: PCA and k-means of a sample whose '
        'size does not grow with the images. A point of a training is the time until its n-th image, of one run.'])


def run_processes(count: int, work: dict[str, Any]) -> dict[str, Points]:
    """Train and fit on some processes, joined by NCCL on GPUs and by gloo on CPUs."""
    import torch.multiprocessing as mp
    out = Path(work['folder']) / f'points_{count}.pkl'
    store = Path(work['folder']) / f'store_{count}'
    mp.spawn(_one_process, (count, str(store), str(out), work), nprocs=count)
    return pickle.loads(out.read_bytes())


def _one_process(rank: int, count: int, store: str, out: str, work: dict[str, Any]) -> None:
    import torch
    import torch.distributed as dist
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count), LOCAL_WORLD_SIZE=str(count))
    torch.set_num_threads(work['threads'])
    if work['device'] != 'cpu':
        torch.cuda.set_device(rank)
    with leaving_the_others():
        dist.init_process_group('gloo' if work['device'] == 'cpu' else 'nccl', init_method=f'file://{store}',
                                rank=rank, world_size=count)
        found = timed_work(count, work)
        if rank == 0:
            Path(out).write_bytes(pickle.dumps(found))


def timed_work(count: int, work: dict[str, Any]) -> dict[str, Points]:
    """What each of `count` joined processes does: the points of the training and of the fits."""
    return dict(training=_training(count, work), fit=_fits(count, work))


def _training(count: int, work: dict[str, Any]) -> Points:
    """Seconds until every step of a training has been done."""
    import torch.distributed as dist

    from benchmarks.training import TimedBatches, stop_workers, training_config
    from leopart_mm.compat import tune_cpu_allocator
    from leopart_mm.engine.console_runner import ConsoleRunner
    tune_cpu_allocator()
    crops = (64, 32) if work['quick'] else (224, 96)
    cfg = training_config('leopart', Path(work['folder']), {}, work['steps'] + 1, work['batch'], work['workers'], crops,
                          work['arch'], work['device'] != 'cpu', work['quick'], launcher='pytorch')
    cfg.launcher = 'pytorch'
    runner = ConsoleRunner.from_cfg(cfg)
    dist.barrier()
    start, loop = time.perf_counter(), runner.train_loop
    loop.dataloader_iterator = batches = TimedBatches(loop.dataloader_iterator, work['device'], 0, 0, work['steps'])
    runner.train()
    stop_workers(loop)
    return [((step + 1) * work['batch'] * count, asked - start) for step, asked in enumerate(batches.asked[1:])]


def _fits(count: int, work: dict[str, Any]) -> Points:
    """Seconds of a fit of OverclusterHead on growing numbers of images."""
    import torch.distributed as dist

    from benchmarks.device import synchronise
    from leopart_mm.models.decode_heads import OverclusterHead
    points = []
    for images in work['images']:
        head = OverclusterHead(work['clusters'], seeds=1, nredo=1, niter=20, pca_dim=min(50, work['channels']))
        head.to(work['device'])
        stream = list(_features(images, dist.get_rank(), count, work))
        dist.barrier()
        start = time.perf_counter()
        head.fit(stream)
        synchronise(work['device'])
        points.append((images, time.perf_counter() - start))
    return points


def _features(images: int, rank: int, count: int, work: dict[str, Any]) -> Iterator[Any]:
    """Batches of the features of every `count`-th image, held on the device."""
    from benchmarks.overcluster_score import BATCH, GRID, Scenes
    from leopart_mm.models.backbones.features import DenseFeatures
    from leopart_mm.models.fitting.feature_batch import FeatureBatch
    scenes, own = Scenes(images, work['channels']), range(rank, images, count)
    for start in range(0, len(own), BATCH):
        names = [str(index) for index in own[start:start + BATCH]]
        maps = scenes.as_maps([scenes.image(index)[0] for index in own[start:start + BATCH]]).to(work['device'])
        yield FeatureBatch(DenseFeatures((maps, ), (GRID, GRID)), None, names, [(0, GRID, 0, GRID)] * len(names))
