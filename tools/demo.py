#!/usr/bin/env python
"""The whole job on generated images, as `make demo` runs it: sample data, fine-tuning, evaluation, report.

Three times, from another random network each: overclustering with tools/test.py, fine-tuning with Leopart through
tools/train.py, overclustering again. Writes report.html (open it) and summary.json below --work-dir.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from leopart_mm.cli import announce, run_tool

ROOT = Path(__file__).resolve().parent.parent
TRAIN_CONFIG = ROOT / 'configs/sample/leopart_vit-micro_sample.py'
TEST_CONFIG = ROOT / 'configs/sample/overcluster_k50_vit-micro_sample.py'
NUM_CLUSTERS = 50
STAGES = ('before', 'after')


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo'), help='(work_dirs/demo)')
    parser.add_argument('--images', type=int, default=400, help='sample images, a quarter of them for evaluation (400)')
    parser.add_argument('--size', type=int, default=128, help='side of a sample image in pixels (128)')
    parser.add_argument('--seeds', type=int, default=3, help='number of runs, each from another random network (3)')
    parser.add_argument('--iterations', type=int, help="training steps of a run (the config's)")
    parser.add_argument('--show', type=int, default=6, help='images in the report (6)')
    return parser


def run_step(name: str, work_dir: Path, *args: object) -> None:
    """Run one of our command-line tools with this work folder, and show where it is.

    Raises:
        RuntimeError: If it fails; its output is then in failed.txt in the work folder.
    """
    arguments = [name, *map(str, args), '--work-dir', str(work_dir)]
    command = [sys.executable, str(ROOT / 'tools' / arguments[0]), *arguments[1:]]
    print('  $ tools/' + ' '.join(arguments), flush=True)
    # The network is so small that threads cost more than they give; the runs share the cores instead.
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          env={**os.environ, 'OMP_NUM_THREADS': '1'})
    if done.returncode:
        from leopart_mm.files import write_text_whole
        write_text_whole(work_dir / 'failed.txt', done.stdout)
        last = (done.stdout.strip().splitlines() or ['without a word'])[-1]
        raise RuntimeError(f'tools/{name} failed: {last} Its whole output is in {work_dir / "failed.txt"}.')


def draw_start_weights(path: Path, seed: int) -> None:
    """Save the random network that a run starts from."""
    import torch

    from leopart_mm.engine.config import load_config
    from leopart_mm.files import save_torch_whole
    from leopart_mm.registry import MODELS
    torch.manual_seed(seed)
    backbone = MODELS.build({**load_config(TEST_CONFIG).model.backbone})
    save_torch_whole(dict(state_dict=backbone.state_dict()), path)


def newest(folder: Path, pattern: str) -> Path:
    """The last written file of a pattern."""
    return max(folder.glob(pattern), key=lambda path: path.stat().st_mtime)


def evaluate(checkpoint: Path, data: Path, work_dir: Path, seed: int) -> float:
    """mIoU in percent of a checkpoint; cluster and class maps go below `work_dir`."""
    run_step('test.py', work_dir, TEST_CONFIG, checkpoint, '--out', work_dir / 'maps', '--cfg-options',
             f'data_root={data}', 'test_evaluator.output_classes=True', f'randomness.seed={seed}')
    return json.loads(newest(work_dir, '*/*.json').read_text())['mIoU']


def train(start: Path, data: Path, work_dir: Path, seed: int, iterations: int) -> Path:
    """Fine-tune; returns the last checkpoint."""
    run_step('train.py', work_dir, TRAIN_CONFIG, '--seed', seed, '--cfg-options', f'data_root={data}',
             f'model.backbone.checkpoint={start}', f'iterations={iterations}')
    return work_dir / f'iter_{iterations}.pth'


def one_run(args: argparse.Namespace, data: Path, seed: int, iterations: int) -> dict:
    """Before, training, after: one entry of the summary."""
    folder = args.work_dir / f'seed{seed}'
    start = folder / 'start.pth'
    before = evaluate(start, data, folder / 'before', seed)
    checkpoint = train(start, data, folder / 'train', seed, iterations)
    after = evaluate(checkpoint, data, folder / 'after', seed)
    print(f'  seed {seed}: mIoU {before:.1f} -> {after:.1f} %', flush=True)
    return dict(seed=seed, miou_before=round(before, 2), miou_after=round(after, 2))


def loss_curve(folder: Path, seeds: Iterable[int]) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the loss of the runs of these seeds (the folder may hold others of an earlier demo)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure(figsize=(7, 3), dpi=110)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for run in (folder / f'seed{seed}' for seed in seeds):
        lines = map(json.loads, newest(run / 'train', '*/vis_data/scalars.json').read_text().splitlines())
        points = [(line['iter'], line['loss']) for line in lines if 'loss' in line]
        axes.plot(*zip(*points, strict=True), label=run.name)
    axes.set(xlabel='iteration', ylabel='Leopart loss')
    axes.legend()
    figure.tight_layout()
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def sheet(data: Path, run: Path, count: int) -> np.ndarray:
    """Images with ground truth, clusters and matched classes before and after, one image per row."""
    from leopart_mm.datasets.sample import PALETTE
    from leopart_mm.palette import distinct_colours
    from leopart_mm.visualization.overlay import overlay
    from leopart_mm.visualization.panels import row, stack
    rows = []
    palette = np.array(PALETTE, np.uint8)
    for name in (data / 'ImageSets/Segmentation/val.txt').read_text().split()[:count]:
        image = np.asarray(Image.open(data / 'JPEGImages' / f'{name}.jpg').convert('RGB'))
        truth = np.asarray(Image.open(data / 'SegmentationClass' / f'{name}.png'))
        pictures = {'image': image, 'ground truth': overlay(image, truth, palette)}
        for stage in STAGES:
            maps = run / stage / 'maps'
            clusters = np.asarray(Image.open(maps / f'{name}.png'))
            classes = np.asarray(Image.open(maps / 'classes' / f'{name}.png'))
            pictures[f'clusters {stage}'] = overlay(image, clusters, distinct_colours(NUM_CLUSTERS), ignore=None)
            pictures[f'matched {stage}'] = overlay(image, classes, palette)
        rows.append(row({title: np.kron(picture, np.ones((2, 2, 1), np.uint8)) for title, picture in pictures.items()}))
    return stack(rows)


def write_report(args: argparse.Namespace, summary: dict, data: Path, iterations: int) -> Path:
    """The page that people look at."""
    from leopart_mm.datasets.sample import CLASSES
    from leopart_mm.visualization import html
    rows = [(f'seed {run["seed"]}', run['miou_before'], run['miou_after'],
             f'{run["miou_after"] - run["miou_before"]:+.2f}') for run in summary['seeds']]
    rows.append(('mean', summary['miou_before'], summary['miou_after'],
                 f'{summary["miou_after"] - summary["miou_before"]:+.2f}'))
    first = args.work_dir / f'seed{summary["seeds"][0]["seed"]}'
    report = args.work_dir / 'report.html'
    html.write_page(
        report, 'leopart_mm: demo on generated scenes',
        f'A micro ViT, randomly initialised, was fine-tuned without labels with Leopart on {args.images * 3 // 4} '
        f'generated scenes of {args.size} pixels for {iterations} steps. Before and after, its patch features on the '
        f'{args.images // 4} validation scenes were clustered (K = {NUM_CLUSTERS}); every cluster is given to the '
        f'class it is most precise for. {len(CLASSES)} classes with the background. Each run starts from another '
        'random network.',
        html.heading('Overclustering mIoU in percent, before and after'),
        html.table(('run', 'before', 'after', 'gain'), rows),
        html.heading('Loss'),
        html.figure(loss_curve(args.work_dir, [run['seed'] for run in summary['seeds']]),
                    'A loss of log K = log 60 = 4.09 is chance.'),
        html.heading('Images'),
        html.figure(sheet(data, first, args.show),
                    'Run of the first seed. Cluster colours are arbitrary; matched and ground truth share theirs.'),
        f'All of it took {summary["seconds"]:.0f} s.')
    return report


def main(args: argparse.Namespace) -> None:
    begin = time.perf_counter()
    announce('Preparing the demo ...')
    from leopart_mm.datasets.sample import write_sample
    from leopart_mm.engine.config import load_config
    from leopart_mm.files import write_text_whole
    iterations = args.iterations or load_config(TRAIN_CONFIG).train_cfg.max_iters
    data = (args.work_dir / 'sample').resolve()
    print(f'Sample data: {args.images} scenes of {args.size} pixels in {data}', flush=True)
    write_sample(data, args.images, args.size, seed=0)
    print(f'{args.seeds} runs, {os.cpu_count()} at a time: evaluate, fine-tune ({iterations} steps), evaluate',
          flush=True)
    for seed in range(args.seeds):  # not in the threads: they share torch's random generator
        draw_start_weights(args.work_dir / f'seed{seed}' / 'start.pth', seed)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = list(pool.map(lambda seed: one_run(args, data, seed, iterations), range(args.seeds)))
    summary = dict(
        miou_before=round(float(np.mean([run['miou_before'] for run in runs])), 2),
        miou_after=round(float(np.mean([run['miou_after'] for run in runs])), 2),
        seeds=runs,
        seconds=round(time.perf_counter() - begin, 1))
    report = write_report(args, summary, data, iterations)
    write_text_whole(args.work_dir / 'summary.json', json.dumps(summary, indent=2) + '\n')
    print(f'mIoU {summary["miou_before"]:.1f} -> {summary["miou_after"]:.1f} % (mean of {args.seeds} runs) in '
          f'{summary["seconds"]:.0f} s. Open {report}')


if __name__ == '__main__':
    run_tool(build_parser(), main)
