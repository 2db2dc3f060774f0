#!/usr/bin/env python
"""The whole job on generated images, as `make demo` runs it: sample data, fine-tuning, evaluation, segments, report.

A few times, with other random numbers each: overclustering with tools/test.py, fine-tuning with Leopart through
tools/train.py, overclustering again. Then, with the first fine-tuned network: the unsupervised chain is fitted, and
tools/segment_folder.py segments new scenes with it. Writes report.html (open it), segments/ with the page where
clusters get names, and summary.json below --work-dir. The runs start from the small network that comes with leopart_mm
(docs/sample_network.md), or with `--start random` from random weights, each run from others.
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
from leopart_mm.cli.shipped import shipped_folder

CONFIGS = shipped_folder('configs') / 'sample'
TRAIN_CONFIG = CONFIGS / 'leopart_vit-micro_sample.py'
TEST_CONFIG = CONFIGS / 'overcluster_k50_vit-micro_sample.py'
CHAIN_CONFIG = CONFIGS / 'fully_unsup_vit-micro_sample.py'
NUM_CLUSTERS = 50
NEW_SCENES_SEED = 2  # the sample has 0, what the network was pretrained on 1
STAGES = ('before', 'after')
RANDOM = 'random'


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo'), help='(work_dirs/demo)')
    parser.add_argument('--images', type=int, default=400, help='sample images, a quarter of them for evaluation (400)')
    parser.add_argument('--size', type=int, default=128, help='side of a sample image in pixels (128)')
    parser.add_argument('--start', type=Path, metavar='FILE',
                        help="weights that the runs start from, or 'random' (the network that comes with leopart_mm)")
    parser.add_argument('--seeds', type=int, default=2, help='number of runs with other random numbers (2)')
    parser.add_argument('--new-images', type=int, default=48, help='new scenes to segment (48)')
    parser.add_argument('--iterations', type=int, help="training steps of a run (the config's)")
    parser.add_argument('--show', type=int, default=6, help='images in the report (6)')
    return parser


def run_step(name: str, work_dir: Path, *args: object, folder_option: str = '--work-dir') -> None:
    """Run one of our command-line tools with this work folder, and show where it is.

    Raises:
        RuntimeError: If it fails; its output is then in failed.txt in the work folder.
    """
    arguments = [name, *map(str, args), folder_option, str(work_dir)]
    command = [sys.executable, str(shipped_folder('tools') / arguments[0]), *arguments[1:]]
    print('  $ tools/' + ' '.join(arguments), flush=True)
    # The network is so small that threads cost more than they give; the runs share the cores instead.
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          env={**os.environ, 'OMP_NUM_THREADS': '1'})
    if done.returncode:
        from leopart_mm.files import write_text_whole
        write_text_whole(work_dir / 'failed.txt', done.stdout)
        last = (done.stdout.strip().splitlines() or ['without a word'])[-1]
        raise RuntimeError(f'tools/{name} failed: {last} Its whole output is in {work_dir / "failed.txt"}.')


def start_weights(args: argparse.Namespace, seed: int) -> Path:
    """The file of weights that a run starts from; random ones are drawn and saved."""
    if str(args.start) != RANDOM:
        from leopart_mm.datasets.sample import WEIGHTS
        return (args.start or WEIGHTS).resolve()
    import torch

    from leopart_mm.engine.config import load_config
    from leopart_mm.files import save_torch_whole
    from leopart_mm.registry import MODELS
    torch.manual_seed(seed)
    backbone = MODELS.build({**load_config(TEST_CONFIG).model.backbone})
    path = args.work_dir / f'seed{seed}' / 'start.pth'
    save_torch_whole(dict(state_dict=backbone.state_dict()), path)
    return path


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


def one_run(args: argparse.Namespace, data: Path, start: Path, seed: int, iterations: int) -> dict:
    """Before, training, after: one entry of the summary."""
    folder = args.work_dir / f'seed{seed}'
    before = evaluate(start, data, folder / 'before', seed)
    checkpoint = train(start, data, folder / 'train', seed, iterations)
    after = evaluate(checkpoint, data, folder / 'after', seed)
    print(f'  seed {seed}: mIoU {before:.1f} -> {after:.1f} %', flush=True)
    return dict(seed=seed, miou_before=round(before, 2), miou_after=round(after, 2))


def segment_new_scenes(args: argparse.Namespace, data: Path, checkpoint: Path) -> tuple[Path, float]:
    """Fit the unsupervised chain on the sample, and segment scenes that nothing has seen.

    Returns:
        The folder of the segments, and the mIoU in percent of the chain on the val scenes.
    """
    from leopart_mm.datasets.sample import write_sample
    chain, scenes, out = args.work_dir / 'chain', args.work_dir / 'new_scenes', args.work_dir / 'segments'
    run_step('test.py', chain, CHAIN_CONFIG, checkpoint, '--save-fitted', chain / 'fitted.pth', '--cfg-options',
             f'data_root={data}')
    score = json.loads(newest(chain, '*/*.json').read_text())['mIoU']
    write_sample(scenes, args.new_images, args.size, NEW_SCENES_SEED)
    run_step('segment_folder.py', out, scenes / 'JPEGImages', '--checkpoint', chain / 'fitted.pth', '--overlay',
             '--sheet', '--overwrite', folder_option='--out')
    return out, score


def loss_curve(folder: Path, seeds: Iterable[int]) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the loss of the runs of these seeds (the folder may hold others of an earlier demo)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure(figsize=(7, 3), dpi=110)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for run in (folder / f'seed{seed}' for seed in seeds):
        if not list((run / 'train').glob('*/vis_data/scalars.json')):
            continue  # too short for a line of the log
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


def new_scenes_picture(args: argparse.Namespace, segments: Path, columns: int = 6, side: int = 192) -> np.ndarray:
    """New scenes in rows, what the fitted chain makes of them below each: (H, W, 3) uint8 RGB."""
    names = sorted(path.stem for path in (segments / 'overlays').glob('*.jpg'))[:2 * columns]
    gap, rows = 8, []
    for first in range(0, len(names), columns):
        for folder in (args.work_dir / 'new_scenes' / 'JPEGImages', segments / 'overlays'):
            pictures = np.full((len(names[:columns]), side + gap, side + gap, 3), 255, np.uint8)
            for picture, name in zip(pictures, names[first:first + columns], strict=False):
                image = Image.open(folder / f'{name}.jpg').convert('RGB').resize((side, side), Image.BICUBIC)
                picture[:side, :side] = np.asarray(image)
            rows.append(np.concatenate(pictures, axis=1)[:side + gap // 4, :-gap])
        rows.append(np.full((gap, *rows[-1].shape[1:]), 255, np.uint8))
    return np.concatenate(rows[:-1])


def naming_page(segments: Path) -> Path:
    """The page where a person gives names to clusters."""
    return next(path for name in ('clusters.html', 'sheet.html') if (path := segments / name).is_file())


def write_report(args: argparse.Namespace, summary: dict, data: Path, iterations: int, segments: Path) -> Path:
    """The page that people look at."""
    from leopart_mm.datasets.sample import CLASSES
    from leopart_mm.visualization import html
    rows = [(f'seed {run["seed"]}', run['miou_before'], run['miou_after'],
             f'{run["miou_after"] - run["miou_before"]:+.2f}') for run in summary['seeds']]
    rows.append(('mean', summary['miou_before'], summary['miou_after'],
                 f'{summary["miou_after"] - summary["miou_before"]:+.2f}'))
    first = args.work_dir / f'seed{summary["seeds"][0]["seed"]}'
    start = {RANDOM: 'randomly initialised', 'None': 'pretrained without labels on other scenes'}.get(
        str(args.start), f'started from {args.start}')
    report = args.work_dir / 'report.html'
    html.write_page(
        report, 'leopart_mm: demo on generated scenes',
        f'A micro ViT, {start}, was fine-tuned without labels with Leopart on {args.images * 3 // 4} generated scenes '
        f'of {args.size} pixels for {iterations} steps.',
        html.heading('Segments of new scenes'),
        'The unsupervised chain was fitted on the sample with the first fine-tuned network: clusters, the foreground '
        'among them, and communities of clusters that touch. Nobody told it what there is, and nothing saw these '
        f'scenes before. mIoU of the chain on the {args.images // 4} validation scenes: {summary["miou_chain"]:.1f} %.',
        html.figure(new_scenes_picture(args, segments),
                    'New scenes, and below each its segments: one colour is one community of clusters. Dark is what '
                    'the chain takes for background.'),
        html.Markup(f'<p>Give the segments names: <a href="{naming_page(segments).relative_to(args.work_dir)}">'
                    'the page of the clusters</a>.</p>'),
        f'Before and after fine-tuning, the patch features of the {args.images // 4} validation scenes were also '
        f'clustered (K = {NUM_CLUSTERS}); every cluster is given to the class it is most precise for. {len(CLASSES)} '
        'classes with the background. The network that comes along has seen many such scenes, so fine-tuning adds '
        'little to it; with --start random it is most of what you see.',
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
    starts = [start_weights(args, seed) for seed in range(args.seeds)]  # not in threads: they share torch's generator
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = list(pool.map(lambda seed: one_run(args, data, starts[seed], seed, iterations), range(args.seeds)))
    print('Fit the unsupervised chain, segment new scenes', flush=True)
    segments, chain = segment_new_scenes(args, data, args.work_dir / 'seed0' / 'train' / f'iter_{iterations}.pth')
    summary = dict(
        miou_before=round(float(np.mean([run['miou_before'] for run in runs])), 2),
        miou_after=round(float(np.mean([run['miou_after'] for run in runs])), 2),
        miou_chain=round(chain, 2),
        start='shipped' if args.start is None else str(args.start),
        seeds=runs,
        seconds=round(time.perf_counter() - begin, 1))
    report = write_report(args, summary, data, iterations, segments)
    Image.fromarray(new_scenes_picture(args, segments)).save(args.work_dir / 'picture.jpg', quality=88)  # docs/demo.jpg
    write_text_whole(args.work_dir / 'summary.json', json.dumps(summary, indent=2) + '\n')
    print(f'mIoU {summary["miou_before"]:.1f} -> {summary["miou_after"]:.1f} % (mean of {args.seeds} runs) in '
          f'{summary["seconds"]:.0f} s. Open {report}, and name the segments in {naming_page(segments)}')


if __name__ == '__main__':
    run_tool(build_parser(), main)
