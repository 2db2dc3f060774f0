"""Does it help to take position out of features? Overclustering and retrieval with and without, on two small data sets.

    python -m benchmarks.debias --out work_dirs/debias --weights vit_tiny_patch16_224.safetensors \\
        --msrc21 data/msrc21 --voc data/voc2012_subset

Overclustering (K = 21, 100, 300, three k-means seeds) and dense retrieval (a memory of 20,000 patches, three draws of
them) on the val split, once per debias; the features of a data set are computed once per start of the command. What
was measured before is kept, so --minutes N lets it run in parts. Writes results.json and table.md: mean and standard
deviation over the seeds of the mIoU of classes that occur, and the difference to no debias, seed by seed.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks.vit_tiny_scores import GROUPS, add_row, cell, compared_cell, read_rows, score
from leopart_mm.files import write_text_whole

DATA = {'msrc21': 'MSRC-21', 'voc': 'VOC subset'}
SEEDS = 3
BLACK, REGRESSION = 'leopart_mm.BlackImageDebias', 'leopart_mm.PositionRegressionDebias'
DEBIAS: dict[str, dict[str, Any] | None] = {
    'none': None,
    **{f'black image, rank {rank}': dict(type=BLACK, rank=rank) for rank in (2, 8, 32)},
    **{f'regression, rank {rank}': dict(type=REGRESSION, rank=rank) for rank in (2, 6, 18)},
}


def build_parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, required=True, help='folder of the results')
    parser.add_argument('--weights', type=Path, required=True, help='weights of the ViT-Ti/16')
    for key, name in DATA.items():
        parser.add_argument(f'--{key}', type=Path, help=f'{name}, in the layout of VOC')
    parser.add_argument('--minutes', type=float, default=1e6, help='begin nothing new after so long')
    return parser


def main() -> None:
    """Measure what is missing, then write the table."""
    args = build_parser().parse_args()
    until = time.monotonic() + 60 * args.minutes
    for key in DATA:
        root = getattr(args, key)
        if root is not None:
            measure(key, root, args.weights, args.out, until)
    write_text_whole(args.out / 'table.md', table(read_rows(args.out / 'results.json')))
    print((args.out / 'table.md').read_text())


def measure(key: str, root: Path, weights: Path, out: Path, until: float) -> None:
    """Add rows ``dict(data, group, debias, miou, info)``, `miou` per seed in percent, until all are there."""
    from leopart_mm.models.fitting.networks import NetworkCaches
    file = out / 'results.json'
    known = {(row['data'], row['group'], row['debias']) for row in read_rows(file)}
    features = NetworkCaches()
    try:
        for group in GROUPS:
            for name, debias in DEBIAS.items():
                if (key, group, name) in known or time.monotonic() > until:
                    continue
                start = time.monotonic()
                found, model = score(root, group, weights, out, SEEDS, dict(debias=debias), features)
                info = {} if model.debias is None else model.debias.info
                add_row(file, dict(data=key, group=group, debias=name, miou=found, info=info))
                seconds = time.monotonic() - start
                print(f'{DATA[key]}, {group}, {name}: {cell(found)} in {seconds:.0f} s', flush=True)
    finally:
        features.close()


def table(rows: list[dict[str, Any]]) -> str:
    """The results as Markdown: a table per data set; bold where the difference is beyond noise."""
    lines = []
    for key, name in DATA.items():
        found = {(row['group'], row['debias']): row['miou'] for row in rows if row['data'] == key}
        if not found:
            continue
        lines += [f'{name}:', '', f'| debias | {" | ".join(GROUPS)} |', f'|---|{"---|" * len(GROUPS)}']
        for debias in DEBIAS:
            cells = []
            for group in GROUPS:
                values, plain = found.get((group, debias)), found.get((group, 'none'))
                if values is None or debias == 'none' or plain is None:
                    cells.append('' if values is None else cell(values))
                else:
                    cells.append(compared_cell(values, plain))
            lines.append(f'| {debias} | {" | ".join(cells)} |')
        lines.append('')
    return '\n'.join(lines)


if __name__ == '__main__':
    main()
