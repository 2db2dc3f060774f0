"""Does it help to take position out of features? Overclustering and retrieval with and without, on two small data sets.

    python -m benchmarks.debias --out work_dirs/debias --weights vit_tiny_patch16_224.safetensors \\
        --msrc21 data/msrc21 --voc data/voc2012_subset

Overclustering (K = 21, 100, 300, three k-means seeds) and dense retrieval (a memory of 20,000 patches, three draws of
them) on the val split, once per debias; the features of a data set are computed once per start of the command. What
was measured before is kept, so --minutes N lets it run in parts. Writes results.json and table.md: mean and standard
deviation over the seeds of the mIoU of classes that occur, and the difference to no debias, seed by seed.
"""

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

from leopart_mm.files import write_text_whole

CONFIGS = Path(__file__).resolve().parent.parent / 'configs' / 'msrc21'
DATA = {'msrc21': 'MSRC-21', 'voc': 'VOC subset'}
GROUPS = {**{f'K = {k}': f'overcluster_k{k}_vit-tiny_msrc21.py' for k in (21, 100, 300)},
          'retrieval': 'retrieval_vit-tiny_msrc21.py'}
SEEDS = 3
MEMORY = 20_000
BLACK, REGRESSION = 'leopart_mm.BlackImageDebias', 'leopart_mm.PositionRegressionDebias'
DEBIAS: dict[str, dict[str, Any] | None] = {
    'none': None,
    **{f'black image, rank {rank}': dict(type=BLACK, rank=rank) for rank in (2, 8, 32, 96)},
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
    rows = read(args.out)
    write_text_whole(args.out / 'table.md', table(rows))
    print((args.out / 'table.md').read_text())


def measure(key: str, root: Path, weights: Path, out: Path, until: float) -> None:
    """Add rows ``dict(data, group, debias, miou)``, `miou` per seed in percent, to results.json until all are there."""
    from leopart_mm.models.fitting.networks import NetworkCaches
    known = {(row['data'], row['group'], row['debias']) for row in read(out)}
    features = NetworkCaches()
    try:
        for group in GROUPS:
            for name, debias in DEBIAS.items():
                if (key, group, name) in known or time.monotonic() > until:
                    continue
                start = time.monotonic()
                row = dict(data=key, group=group, debias=name, **score(root, group, debias, weights, out, features))
                write_text_whole(out / 'results.json', json.dumps([*read(out), row], indent=1) + '\n')
                seconds = time.monotonic() - start
                print(f'{DATA[key]}, {group}, {name}: {cell(row["miou"])} in {seconds:.0f} s', flush=True)
    finally:
        features.close()


def score(root: Path, group: str, debias: dict[str, Any] | None, weights: Path, out: Path, features: Any
          ) -> dict[str, Any]:
    """mIoU per seed, and what the debias says of itself."""
    if group != 'retrieval':
        return _score(root, GROUPS[group], debias, {'model.decode_head.seeds': SEEDS}, weights, out, features)
    memories = [{'model.decode_head.memory_size': MEMORY, 'model.decode_head.seed': seed} for seed in range(SEEDS)]
    found = [_score(root, GROUPS[group], debias, options, weights, out, features) for options in memories]
    return dict(found[0], miou=[value for one in found for value in one['miou']])


def _score(root: Path, file: str, debias: dict[str, Any] | None, options: dict[str, Any], weights: Path, out: Path,
           features: Any) -> dict[str, Any]:
    from leopart_mm.apis.runner_stages import own_config
    from leopart_mm.engine.cli import complete_loaders
    from leopart_mm.engine.config import load_config
    from leopart_mm.engine.console_runner import ConsoleRunner
    from leopart_mm.engine.wrapping import unwrap
    cfg = own_config(load_config(CONFIGS / file, dict(options, data_root=str(root))), 'debias')
    cfg.model.decode_head.debias = debias
    cfg.work_dir, cfg.launcher, cfg.load_from = str(out / 'logs'), 'none', str(weights)
    complete_loaders(cfg)
    runner = ConsoleRunner.from_cfg(cfg)
    runner.test_loop.features = features
    runner.test()
    seeds = next(iter(runner.test_evaluator.metrics[0].scores_.values()))
    info = {} if debias is None else unwrap(runner.model).decode_head.debias.info
    return dict(miou=[100 * float(one.miou_occurring) for one in seeds], info=info)


def read(out: Path) -> list[dict[str, Any]]:
    """The rows of results.json; none if it is not there."""
    file = out / 'results.json'
    return json.loads(file.read_text()) if file.is_file() else []


def cell(values: list[float]) -> str:
    """Mean and population standard deviation.

    >>> cell([1., 3.])
    '2.0±1.0'
    """
    return f'{statistics.fmean(values):.1f}±{statistics.pstdev(values):.1f}'


def difference(values: list[float], others: list[float]) -> tuple[float, float]:
    """Mean of the differences seed by seed, and its standard error.

    >>> difference([2., 4.], [1., 1.])
    (2.0, 1.0)
    """
    found = [ours - theirs for ours, theirs in zip(values, others, strict=True)]
    return statistics.fmean(found), statistics.stdev(found) / math.sqrt(len(found))


def table(rows: list[dict[str, Any]]) -> str:
    """The results as Markdown: a table per data set; bold where the difference is more than two standard errors."""
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
                text = '' if values is None else cell(values)
                if values is not None and plain is not None and debias != 'none':
                    mean, error = difference(values, plain)
                    text += f' ({mean:+.1f})'
                    text = f'**{text}**' if abs(mean) > 2 * error else text
                cells.append(text)
            lines.append(f'| {debias} | {" | ".join(cells)} |')
        lines.append('')
    return '\n'.join(lines)


if __name__ == '__main__':
    main()
