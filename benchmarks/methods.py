"""Leopart, NeCo and PaKA from the same start on MSRC-21: which loss helps small data?

    python -m benchmarks.methods --out work_dirs/methods --weights vit_tiny_patch16_224.safetensors --msrc21 data/msrc21

Each method trains a supervised ViT-Ti/16 on the 279 training images with three seeds, with the same crops, colours,
neck, learning rates and number of steps; only the loss differs. Scores on the val split: overclustering with K = 100
and dense retrieval. Whatever was made before is kept, so --minutes N lets it run in parts. Writes results.json and
table.md: mean and standard deviation over the trainings; overclustering is the mean over three seeds of k-means each.
"""

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.verdict.checkpoints import DATA, METHODS, Setting, fine_tune
from benchmarks.vit_tiny_scores import add_row, cell, compared_cell, read_rows, score
from leopart_mm.files import write_text_whole

NAMES = dict(leopart='Leopart', neco='NeCo', paka='PaKA')
GROUPS = {'K = 100': 3, 'retrieval': 1}  # seeds of the scoring; draws of the memory differ less
SEEDS, STEPS = 3, 60
LEARNING_RATES = (1e-4, 1e-3)  # of the backbone and the head


def build_parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, required=True, help='folder of trainings and results')
    parser.add_argument('--weights', type=Path, required=True, help='weights of the ViT-Ti/16')
    parser.add_argument('--msrc21', type=Path, required=True, help='MSRC-21, in the layout of VOC')
    parser.add_argument('--minutes', type=float, default=1e6, help='begin nothing new after so long')
    return parser


def main() -> None:
    """Train and score what is missing, then write the table."""
    args = build_parser().parse_args()
    until = time.monotonic() + 60 * args.minutes
    file = args.out / 'results.json'
    measure('start', 0, args.weights, args, until)
    for seed in range(SEEDS):
        for method in METHODS:
            weights = args.out / f'{method}_{seed}' / f'backbone_{STEPS}.pth'
            if not weights.is_file() and time.monotonic() < until:
                fine_tune(replace(DATA['msrc21'], steps=STEPS, kept=(STEPS, )), Setting(method, *LEARNING_RATES, seed),
                          args.msrc21, args.weights, weights.parent)
            if weights.is_file():
                measure(method, seed, weights, args, until)
    write_text_whole(args.out / 'table.md', table(read_rows(file)))
    print((args.out / 'table.md').read_text())


def measure(method: str, seed: int, weights: Path, args: argparse.Namespace, until: float) -> None:
    """Add rows ``dict(method, seed, group, value)``, `value` the mean mIoU in percent, until all groups are there."""
    file = args.out / 'results.json'
    known = {(row['method'], row['seed'], row['group']) for row in read_rows(file)}
    for group, seeds in GROUPS.items():
        if (method, seed, group) not in known and time.monotonic() < until:
            found, _ = score(args.msrc21, group, weights, args.out, seeds)
            add_row(file, dict(method=method, seed=seed, group=group, value=statistics.fmean(found)))
            print(f'{method}, seed {seed}, {group}: {cell(found)}', flush=True)


def table(rows: list[dict[str, Any]]) -> str:
    """The results as Markdown; bold where the difference to the start is beyond noise."""
    lines = [f'| weights | {" | ".join(GROUPS)} |', f'|---|{"---|" * len(GROUPS)}']
    start = {row['group']: row['value'] for row in rows if row['method'] == 'start'}
    for method, name in dict(start='start', **NAMES).items():
        cells = []
        for group in GROUPS:
            values = [row['value'] for row in rows if (row['method'], row['group']) == (method, group)]
            if method == 'start':
                cells.append(f'{values[0]:.1f}' if values else '')
            else:
                cells.append(compared_cell(values, [start[group]] * len(values)) if len(values) > 1 else '')
        lines.append(f'| {name} | {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    main()
