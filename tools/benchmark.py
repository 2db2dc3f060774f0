"""Measure a component beside a straightforward implementation of the published way, or by itself.

    python tools/benchmark.py --list
    python tools/benchmark.py multicrop --json multicrop.json
    python tools/benchmark.py leopart-step --device cuda
    python tools/benchmark.py overcluster-score --full

Each ends within three minutes on two cores. Where the size of real use takes longer, --full measures that.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from leopart_mm.cli import OptionAction, announce, run_tool

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # benchmarks/ is part of the checkout, not installed


def build_parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', nargs='?', help='which one; see --list')
    parser.add_argument('--list', action='store_true', help='name all benchmarks, with their sizes and options')
    parser.add_argument('--json', type=Path, help='also write the numbers to this file')
    parser.add_argument('--quick', action='store_true', help='tiny inputs, one round: a test that it runs')
    parser.add_argument('--full', action='store_true', help='the size of real use, where the default is smaller')
    parser.add_argument('--device', default='cpu', help='where the work is done: cpu (default), cuda, cuda:1')
    parser.add_argument('--threads', type=int, metavar='N',
                        help='threads of both sides; most benchmarks measure one core unless you say more')
    parser.add_argument('--options', nargs='+', action=OptionAction, default={}, metavar='KEY=VALUE',
                        help="the benchmark's own options; see --list")
    return parser


def listing(known: dict[str, Any]) -> str:
    """The benchmarks with their devices, sizes and options."""
    lines = []
    for name, cls in known.items():
        lines.append(f'{name:24s}{(cls.__doc__ or "").strip().splitlines()[0]}')
        more = [f'--device {kind}' for kind in cls.devices if kind != 'cpu']
        lines += [f'{"":26s}{text}' for text in (*more, f'--full: {cls.full_size}' if cls.full_size else '') if text]
        for key, option in cls.options.items():
            choices = f' ({", ".join(map(str, option.choices))})' if option.choices else ''
            lines.append(f'{"":26s}--options {key}={option.default}: {option.help}{choices}')
    return '\n'.join(lines)


def main(args: argparse.Namespace) -> None:
    """List benchmarks, or run one and show it."""
    from benchmarks.base import get_benchmark, load_benchmarks
    from benchmarks.report import as_text
    from benchmarks.runner import run_benchmark
    if args.list:
        print(listing(load_benchmarks()))
        return
    if args.name is None:
        raise ValueError('Give the name of a benchmark, or --list.')
    announce(f'Running {args.name} ...')
    if args.full and not get_benchmark(args.name).full_size:
        announce('It has one size: --full changes nothing.')
    result = run_benchmark(args.name, args.quick, full=args.full, device=args.device, options=args.options,
                           threads=args.threads)
    print(as_text(result))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=2) + '\n')


if __name__ == '__main__':
    run_tool(build_parser(), main)
