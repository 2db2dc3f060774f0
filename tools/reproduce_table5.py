#!/usr/bin/env python
"""Table 5 of the Leopart paper in one command: DINO, + Leopart, + CBFE, + CD, and K=150.

    python tools/reproduce_table5.py --data-root data/VOCdevkit/VOC2012 \
        --checkpoints dino=dino_deitsmall16_pretrain.pth leopart=leopart_vits16.ckpt

Any data set in VOC layout works (the number of clusters follows its classes; class 0 must be the background). A run
that was stopped goes on where it stood: finished rows are read from --out. Small data sets: add --small.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import leopart_mm
from leopart_mm.apis.table5 import PROTOCOLS, ROWS, choose_rows, parse_checkpoints, row_config, run_row
from leopart_mm.engine.config import load_config

CONFIGS = Path(__file__).resolve().parent.parent / 'configs' / 'leopart'


def parse_args() -> argparse.Namespace:
    from leopart_mm.engine.options import OptionAction
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', required=True, help='data set in VOC layout')
    parser.add_argument('--checkpoints', nargs='+', required=True, metavar='NAME=FILE', help='dino=FILE leopart=FILE')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/table5'), help='folder for results (%(default)s)')
    parser.add_argument('--seeds', type=int, default=10, help='seeds a row (%(default)s)')
    parser.add_argument('--rows', nargs='+', metavar='ROW', help=f'of {", ".join(row.name for row in ROWS)}')
    parser.add_argument('--protocol', choices=PROTOCOLS, default='label-free',
                        help='published: CBFE chooses its threshold with ground truth of train, on masks of DINO')
    parser.add_argument('--config', type=Path, help='another config of "+ CD"')
    parser.add_argument('--small', action='store_true', help='settings for data sets of a few hundred images')
    parser.add_argument('--cache', choices=['none', 'memory', 'disk'], default='disk',
                        help='where features wait between the stages of a row: disk is a temporary folder (about '
                        '1.2 MB an image with ViT-S/16), none computes them anew (%(default)s)')
    parser.add_argument('--samples', type=int, default=6, help='images with pictures a row (%(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, metavar='KEY=VALUE',
                        help='for all rows, e.g. model.backbone.arch=vit_tiny_patch16_224')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    leopart_mm.compat.tune_cpu_allocator()
    try:
        if args.seeds < 1:
            raise ValueError(f'--seeds {args.seeds}: at least 1.')
        checkpoints = parse_checkpoints(args.checkpoints)
        rows, left_out = choose_rows(args.rows, checkpoints)
        path = args.config or CONFIGS / f'fully_unsup_vits16_{"small" if args.small else "voc"}.py'
        base = load_config(path, dict(args.cfg_options or {}, data_root=args.data_root))
        classes = check_data(base)
    except (ValueError, FileNotFoundError) as error:
        print(f'reproduce_table5: {error}', file=sys.stderr)
        return 2
    results = {}
    for row in rows:
        cfg = row_config(base, row, checkpoints[row.checkpoint], args.seeds, len(classes), args.protocol,
                         checkpoints.get('dino'))
        try:
            results[row.name], read = run_row(cfg, row, args.out, args.samples,
                                              None if args.cache == 'none' else args.cache)
            print(f'{row.title}: {results[row.name].miou:.2f} ± {results[row.name].miou_std:.2f}'
                  f'{" (from an earlier run)" if read else ""}', flush=True)
        except ValueError as error:  # of a stage: the other rows are still worth having
            left_out[row.name] = f'failed: {error}'
            print(f'{row.title}: {left_out[row.name]}', file=sys.stderr)
    about = [f'data: {args.data_root} ({len(classes)} classes)', f'protocol: {args.protocol}', f'config: {path.name}',
             *[f'checkpoint {name}: {file}' for name, file in checkpoints.items()]]
    write(args.out, results, left_out, about)
    return 0 if len(results) == len(rows) else 1


def check_data(base) -> tuple[str, ...]:
    """Build both data sets, so that a missing part is named before hours of work; returns the classes."""
    from mmengine.registry import init_default_scope

    from leopart_mm.registry import DATASETS
    init_default_scope(base.default_scope)
    dataset = DATASETS.build(base.test_dataloader.dataset)
    DATASETS.build(base.test_cfg.fit_dataloader.dataset)
    return dataset.metainfo['classes']


def write(out: Path, results: dict, left_out: dict, about: list[str]) -> None:
    from leopart_mm.apis.table5_report import html_page, markdown
    out.mkdir(parents=True, exist_ok=True)
    text = markdown(results, left_out, about)
    record = dict(about=about, rows={name: asdict(result) for name, result in results.items()}, left_out=left_out)
    (out / 'table5.json').write_text(json.dumps(record, indent=1) + '\n')
    (out / 'table5.md').write_text(text)
    (out / 'table5.html').write_text(html_page(results, left_out, about, out / 'pictures'))
    print(text)
    print(f'Wrote table5.json, table5.md and table5.html to {out}')


if __name__ == '__main__':
    sys.exit(main())
