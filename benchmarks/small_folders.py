"""What to train of a backbone where there are few images: all of it, its last blocks, or low-rank adapters.

    python -m benchmarks.small_folders --out work_dirs/small_folders --weights vit_tiny_patch16_224.safetensors \\
        --msrc21 data/msrc21 --voc data/voc2012_subset

Short fine-tunings of the same start on 279 images of MSRC-21 and on 180 of VOC, three seeds each, scored by
overclustering (K = 300) of the val images. One seed of everything comes first. What was made before is kept, so
--minutes N makes a part. `--methods neco leopart paka --trainable all` compares the losses instead. Writes
results.json, with every run that was asked for, and table.md.
"""

import argparse
import json
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.verdict.checkpoints import CONFIGS, LIGHT, Setting, StudyData, make_next
from leopart_mm.files import write_text_whole

NAMES = dict(msrc21='MSRC-21 (279 images)', voc='VOC subset (180 images)')
METHODS = {name: CONFIGS / f'msrc21/{name}_vit-tiny_msrc21.py' for name in ('neco', 'leopart', 'paka')}
# Learning rates of backbone and head: an adapter's B starts at 0, so it takes larger steps for the same change.
RATES = {'all': (1e-4, 1e-3), 'last_4': (1e-4, 1e-3), 'lora_8': (5e-4, 1e-3)}
STEPS, RUNS = 40, 3


def build_parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, required=True, help='folder of the results')
    parser.add_argument('--weights', type=Path, required=True, help='weights of a ViT-Ti/16 that all runs start from')
    for key, name in NAMES.items():
        parser.add_argument(f'--{key}', type=Path, help=f'{name}, in the layout of VOC')
    parser.add_argument('--methods', nargs='+', choices=METHODS, default=['neco'], help='default: neco')
    parser.add_argument('--trainable', nargs='+', choices=RATES, default=list(RATES), help='default: all of them')
    parser.add_argument('--steps', type=int, default=STEPS, help=f'training steps of each run (default: {STEPS})')
    parser.add_argument('--minutes', type=float, default=1e6, help='begin nothing new after so long')
    return parser


def main() -> None:
    """Make what is missing, then the table."""
    args = build_parser().parse_args()
    roots = {key: getattr(args, key) for key in NAMES if getattr(args, key) is not None}
    plans = {key: plan(key, args.methods, args.steps, args.trainable) for key in roots}
    until = time.monotonic() + 60 * args.minutes
    working = True
    while working and time.monotonic() < until:
        waiting = sorted(plans, key=lambda key: len(read(args.out / key)))  # the data set with the fewest scores first
        working = any(make_next(plans[key], roots[key], args.weights, args.out / key, {}) for key in waiting)
    runs = {key: results(args.out / key, data) for key, data in plans.items()}
    write_text_whole(args.out / 'results.json', json.dumps(runs, indent=1) + '\n')
    write_text_whole(args.out / 'table.md', table(runs, args.steps))
    print((args.out / 'table.md').read_text())


def plan(key: str, methods: list[str], steps: int, trainable: Collection[str] = RATES) -> StudyData:
    """The runs on a data set: one seed of everything first."""
    settings = tuple(Setting(method, *RATES[part], seed, (('trainable', part), ), part)
                     for method in methods for seed in range(RUNS) for part in trainable)
    test = CONFIGS / 'msrc21/overcluster_k300_vit-tiny_msrc21.py'
    return StudyData(NAMES[key], METHODS, test, settings, steps, (steps, ), LIGHT, seeds=3)


def read(folder: Path) -> list[dict[str, Any]]:
    """What has been scored of a data set."""
    file = folder / 'scores.json'
    return json.loads(file.read_text()) if file.is_file() else []


def results(folder: Path, data: StudyData) -> dict[str, Any]:
    """The score of the start, and that of every run that is done."""
    rows = {row['name']: row for row in read(folder)}
    runs = [dict(method=setting.method, trainable=setting.tag, seed=setting.seed, lr=setting.lr,
                 head_lr=setting.head_lr, miou=rows[setting.name]['miou'],
                 kmeans_std=rows[setting.name]['miou_std'])
            for setting in data.settings if setting.name in rows]
    start = rows.get('start')
    return dict(start=start and dict(miou=start['miou'], kmeans_std=start['miou_std']), runs=runs)


def table(runs: Mapping[str, dict[str, Any]], steps: int) -> str:
    """mIoU before and after, mean and standard deviation over the seeds of the training, as Markdown."""
    lines = [f'{steps} steps; mIoU in percent, overclustering with K = 300; before: ± over k-means seeds.', '',
             '| data | method | trainable | lr | before | after | change | seeds |',
             '|---|---|---|---|---|---|---|---|']
    for key, found in runs.items():
        groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for run in found['runs']:
            groups.setdefault((run['method'], run['trainable']), []).append(run)
        for (method, trainable), group in groups.items():
            start, scores = found['start'], [run['miou'] for run in group]
            deviation = f' ± {np.std(scores, ddof=1):.1f}' if len(scores) > 1 else ''
            lines.append(f'| {NAMES[key]} | {method} | {trainable} | {group[0]["lr"]:g} | {start["miou"]:.1f} ± '
                         f'{start["kmeans_std"]:.1f} | {np.mean(scores):.1f}{deviation} | '
                         f'{np.mean(scores) - start["miou"]:+.1f} | {len(scores)} |')
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    main()
