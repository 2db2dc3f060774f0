#!/usr/bin/env python
"""Table 5 of the Leopart paper in one command: DINO, + Leopart, + CBFE, + CD, and K=150.

    python tools/reproduce_table5.py --data-root data/VOCdevkit/VOC2012 \
        --checkpoints dino=dino_deitsmall16_pretrain.pth leopart=leopart_vits16.ckpt

Any data set in VOC layout works (the number of clusters follows its classes; class 0 must be the background). An
interrupted run resumes: finished rows are read from --out; a row whose settings, checkpoint or data have changed is run
again. For small data sets add --small.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from leopart_mm.cli import OptionAction, announce, run_tool

if TYPE_CHECKING:
    from leopart_mm.apis.table5 import Row
    from leopart_mm.apis.table5_run import RowResult

PROTOCOLS = ('label-free', 'published')  # those of leopart_mm.apis.table5, which is slow to import
ROWS = ('k150', 'dino', 'leopart', 'cbfe', 'cd')
CONFIGS = Path(__file__).resolve().parent.parent / 'configs' / 'leopart' / 'fully_unsup'


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', required=True, help='data set in VOC layout')
    parser.add_argument('--checkpoints', nargs='+', required=True, metavar='NAME=FILE', help='dino=FILE leopart=FILE')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/table5'), help='folder for results (%(default)s)')
    parser.add_argument('--seeds', type=int, default=10, help='seeds per row (%(default)s)')
    parser.add_argument('--rows', nargs='+', metavar='ROW', help=f'of {", ".join(ROWS)}')
    parser.add_argument('--protocol', choices=PROTOCOLS, default='label-free',
                        help='published: CBFE chooses its threshold with ground truth of train, on masks of DINO')
    parser.add_argument('--config', type=Path, help='another config of "+ CD"')
    parser.add_argument('--small', action='store_true', help='settings for data sets of a few hundred images')
    parser.add_argument('--cache', choices=['auto', 'none', 'memory', 'disk'], default='auto',
                        help='where the features of a checkpoint wait for its rows and their stages (about 1.2 MB per '
                        'image with ViT-S/16 at 448 px): memory, disk (a temporary folder), none (computed each time); '
                        'auto: memory if they fill at most half of what is free, else disk likewise, else none '
                        '(%(default)s)')
    parser.add_argument('--samples', type=int, default=6, help='images with pictures per row (%(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, metavar='KEY=VALUE',
                        help='for all rows, e.g. model.backbone.arch=vit_tiny_patch16_224')
    return parser


def main(args: argparse.Namespace) -> int:
    path = args.config or CONFIGS / f'vits16_{"small" if args.small else "voc"}.py'
    announce(f'Reading config {path} ...')
    from leopart_mm.apis.table5 import choose_rows, parse_checkpoints, row_config
    from leopart_mm.apis.table5_report import small_data_words
    from leopart_mm.apis.table5_run import check_chain, inspect_data, run_rows
    from leopart_mm.compat import tune_cpu_allocator
    from leopart_mm.engine.config import load_config
    tune_cpu_allocator()
    if args.seeds < 1:
        raise ValueError(f'--seeds {args.seeds}: at least 1.')
    checkpoints = parse_checkpoints(args.checkpoints)
    rows, left_out = choose_rows(args.rows, checkpoints)
    base = load_config(path, dict(args.cfg_options or {}, data_root=args.data_root))
    check_chain(base)
    data = inspect_data(base)
    configs = {row: row_config(base, row, checkpoints[row.checkpoint], args.seeds, len(data.classes),
                               args.protocol, checkpoints.get('dino')) for row in rows}
    results, failed = run_rows(configs, data.fingerprint, args.out, args.samples,
                               None if args.cache == 'none' else args.cache, tell)
    left_out.update(failed)
    about = [f'data: {args.data_root} ({len(data.classes)} classes, {data.tested} images scored, {data.fitted} fitted '
             'on)', f'protocol: {args.protocol}',
             f'config: {path.name}', *[f'checkpoint {name}: {file}' for name, file in checkpoints.items()]]
    write(args.out, results, left_out, about, small_data_words(data.tested, data.fitted, results))
    return 0 if len(results) == len(rows) else 1


def tell(row: 'Row', result: 'RowResult | ValueError', resumed: bool) -> None:
    if isinstance(result, ValueError):
        print(f'{row.title}: failed: {result}', file=sys.stderr)
    else:
        print(f'{row.title}: {result.miou:.2f} ± {result.miou_std:.2f}{" (from an earlier run)" if resumed else ""}',
              flush=True)


def write(out: Path, results: dict, left_out: dict, about: list[str], small: list[str]) -> None:
    from leopart_mm.apis.table5_report import html_page, markdown
    from leopart_mm.files import write_text_whole
    text = markdown(results, left_out, about, small)
    record = dict(about=about, rows={name: asdict(result) for name, result in results.items()}, left_out=left_out)
    write_text_whole(out / 'table5.json', json.dumps(record, indent=1) + '\n')
    write_text_whole(out / 'table5.md', text)
    write_text_whole(out / 'table5.html', html_page(results, left_out, about, out / 'rows', small))
    print(text)
    print(f'Wrote table5.json, table5.md and table5.html to {out}')


if __name__ == '__main__':
    run_tool(build_parser(), main, failure=2, resume='The same command resumes: finished rows are kept.')
