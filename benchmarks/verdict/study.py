"""How well numbers without labels agree with mIoU: the study behind the verdict at the end of a training.

    python -m benchmarks.verdict.study --out work_dirs/verdict_study --weights vit_tiny_patch16_224.safetensors \\
        --msrc21 data/msrc21 --voc data/voc2012_subset --scenes data/sample --scenes-weights start.pth

Checkpoints come from short fine-tunings with good and bad settings (`checkpoints`) and from --extra. Each is
scored by overclustering on the val split; the numbers without labels see training images only. Whatever was made before
is kept, so --minutes N lets the study run in parts. Writes table.md: Spearman's correlation of every number with mIoU,
per data set and pooled within data sets, for all checkpoints and for those near the start.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.verdict.checkpoints import DATA, make_next
from leopart_mm.files import write_text_whole

IMAGES = 64
NEAR = 6.  # mIoU
SEEDS = 5  # of the overclustering


def build_parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, required=True, help='folder of the study')
    parser.add_argument('--weights', type=Path, help='weights that fine-tunings on photographs start from')
    parser.add_argument('--scenes-weights', type=Path, help='weights that fine-tunings on generated scenes start from')
    for key, data in DATA.items():
        parser.add_argument(f'--{key}', type=Path, help=f'{data.name}, in the layout of VOC')
    parser.add_argument('--extra', nargs='*', default=[], metavar='SET:NAME=FILE',
                        help='further checkpoints of a data set, such as msrc21:longer=iter_60.pth')
    parser.add_argument('--minutes', type=float, help='begin nothing new after so long')
    return parser


def main() -> None:
    """Make what is missing, then the table."""
    args = build_parser().parse_args()
    roots = {key: getattr(args, key) for key in DATA if getattr(args, key) is not None}
    until = time.monotonic() + 60 * (args.minutes or 1e6)
    extra: dict[str, dict[str, Path]] = {key: {} for key in DATA}
    for text in args.extra:
        where, _, file = text.partition('=')
        key, _, name = where.partition(':')
        extra[key][name] = Path(file)
    while time.monotonic() < until:
        worked = False
        for key, root in roots.items():
            weights = args.scenes_weights if key == 'scenes' else args.weights
            worked |= measure(key, root, args.out, until)
            if time.monotonic() < until:
                worked |= make_next(key, root, weights, args.out, extra[key])
        if not worked:
            break
    write_text_whole(args.out / 'table.md', f'{table(args.out)}\n{verdicts(args.out)}')
    print((args.out / 'table.md').read_text())


def measure(key: str, root: Path, out: Path, until: float) -> bool:
    """The numbers without labels of the checkpoints that have none yet; whether there were any."""
    import torch

    from leopart_mm.datasets.image_reading import read_image
    from leopart_mm.engine.config import load_config
    from leopart_mm.evaluation.image_views import SeenTwice, sample_evenly, see_twice
    from leopart_mm.registry import MODELS
    file, scores = out / key / 'numbers.json', read(out / key / 'scores.json')
    rows = read(file)
    known = {label(row) for row in rows}
    missing = [row for row in scores if label(row) not in known]
    if not missing:
        return False
    from benchmarks.verdict.candidates import candidates
    names = (root / 'ImageSets/Segmentation/train.txt').read_text().split()
    images = [read_image(root / 'JPEGImages' / f'{names[index]}.jpg', 'rgb')
              for index in sample_evenly(len(names), IMAGES, 0)]
    cfg = load_config(DATA[key].test, dict(data_root=str(root)))
    colours = cfg.model.data_preprocessor
    for row in missing:
        if time.monotonic() > until:
            break
        start = time.perf_counter()
        features = out / key / 'features' / f'{label(row).replace("/", "_")}.pt'
        if features.is_file():
            seen = [SeenTwice(*(part.float() for part in parts)) for parts in torch.load(features)]
            rows.append(dict(row, **candidates(seen)))
            continue
        backbone = MODELS.build({**cfg.model.backbone, 'checkpoint': row['checkpoint']})
        backbone.init_weights()
        seen = see_twice(backbone.eval(), images, torch.tensor(colours.mean).float(),
                         torch.tensor(colours.std).float(), DATA[key].size)
        seconds = time.perf_counter() - start
        features.parent.mkdir(exist_ok=True)
        torch.save([[part.half() for part in vars(one).values()] for one in seen], features)
        rows.append(dict(row, **candidates(seen)))
        write_text_whole(file, json.dumps(rows, indent=1) + '\n')
        print(f'{DATA[key].name}: {label(row)}: numbers in {seconds:.1f} + '
              f'{time.perf_counter() - start - seconds:.1f} s', flush=True)
    write_text_whole(file, json.dumps(rows, indent=1) + '\n')
    return True


def read(file: Path) -> list[dict[str, Any]]:
    """The rows of a file; none if it is not there."""
    return json.loads(file.read_text()) if file.is_file() else []


def label(row: dict[str, Any]) -> str:
    """Name of a checkpoint."""
    return f'{row["name"]} step {row["step"]}'


def table(out: Path) -> str:
    """Correlations of all numbers with mIoU, as Markdown."""
    sets = {key: rows for key in DATA if (rows := read(out / key / 'numbers.json'))}
    known = ('name', 'step', 'checkpoint', 'miou', 'miou_std', 'per_image')
    numbers = [name for name in next(iter(sets.values()))[-1]
               if name not in known and all(name in row for rows in sets.values() for row in rows)]
    near = {key: [row for row in rows if abs(row['miou'] - rows[0]['miou']) <= NEAR] for key, rows in sets.items()}
    heads = [*(f'{DATA[key].name} ({len(rows)})' for key, rows in sets.items()),
             f'pooled ({sum(map(len, sets.values()))})', f'near the start ({sum(map(len, near.values()))})']
    lines = [f'| number | {" | ".join(heads)} |', f'|---|{"---|" * len(heads)}']
    cells = {name: [*(spearman({key: rows}, name) for key, rows in sets.items()), spearman(sets, name),
                    spearman(near, name)] for name in numbers}
    for name in sorted(numbers, key=lambda name: -abs(cells[name][-2])):
        lines.append(f'| {name} | {" | ".join(f"{value:+.2f}" for value in cells[name])} |')
    return '\n'.join(lines) + '\n'


def verdicts(out: Path) -> str:
    """What the verdict says about each checkpoint against its start, and what mIoU says, as Markdown."""
    from leopart_mm.evaluation.verdict import BETTER, UNCLEAR, WORSE, compare
    counts = {(said, true): 0 for said in (BETTER, UNCLEAR, WORSE) for true in (BETTER, UNCLEAR, WORSE)}
    lines = ['| data | checkpoint | mIoU before | mIoU after | by mIoU | verdict |', '|---|---|---|---|---|---|']
    for key in DATA:
        rows = read(out / key / 'numbers.json')
        starts = {row['name'].removesuffix('_start'): row for row in rows if row['name'].endswith('_start')}
        for row in rows:
            start = starts.get(row['name'], rows[0])
            if row is start or row['name'].endswith('_start') or 'per_image' not in row:
                continue
            change = row['miou'] - start['miou']
            noise = 2 * np.hypot(row['miou_std'], start['miou_std']) / np.sqrt(SEEDS)
            true = UNCLEAR if abs(change) <= noise else BETTER if change > 0 else WORSE
            said = compare(chosen(start), chosen(row))['outcome']
            counts[said, true] += 1
            cells = DATA[key].name, label(row), f"{start['miou']:.1f}", f"{row['miou']:.1f}", true, said
            lines.append(f"| {' | '.join(cells)} |")
    head = [f'| verdict | mIoU {BETTER} | {UNCLEAR} | mIoU {WORSE} |', '|---|---|---|---|']
    head += [f'| {said} | {" | ".join(str(counts[said, true]) for true in (BETTER, UNCLEAR, WORSE))} |'
             for said in (BETTER, UNCLEAR, WORSE)]
    return '\n'.join([*head, '', *lines]) + '\n'


def chosen(row: dict[str, Any]) -> dict[str, list[float]]:
    """The values per image of the numbers that the verdict uses."""
    from leopart_mm.evaluation.feature_numbers import VERDICT_NUMBERS
    return {name: row['per_image'][name] for name in VERDICT_NUMBERS}


def spearman(sets: dict[str, list[dict[str, Any]]], name: str) -> float:
    """Correlation of ranks, taken within each data set: each contributes its deviations from its mean rank."""
    from scipy.stats import rankdata
    ours, theirs = [], []
    for rows in sets.values():
        if len(rows) < 3:
            continue
        for parts, values in ((ours, [row[name] for row in rows]), (theirs, [row['miou'] for row in rows])):
            ranks = rankdata(values)
            parts.append((ranks - ranks.mean()) / len(rows))
    a, b = np.concatenate(ours or [[0.]]), np.concatenate(theirs or [[0.]])
    length = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / length) if length else float('nan')


if __name__ == '__main__':
    main()
