"""Measure a component beside a straightforward implementation of the published way.

    python tools/benchmark.py --list
    python tools/benchmark.py multicrop --json multicrop.json
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from leopart_mm.cli import announce, run_tool

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # benchmarks/ is part of the checkout, not installed


def table(result: dict[str, Any]) -> str:
    """The two sides and their ratio as text."""
    from prettytable import PrettyTable
    rows = PrettyTable(['', 'ours', 'baseline', 'ratio'], align='r')
    rows.title = result['name']
    ours, baseline = result['ours'], result['baseline']
    faster, memory = f'{result["speedup"]:.2f}x faster', f'{result["memory_ratio"]:.2f}x the memory'
    rows.add_row(['seconds', f'{ours["seconds"]:.4g}', f'{baseline["seconds"]:.4g}', faster])
    rows.add_row(['peak MB', f'{ours["peak_mb"]:.1f}', f'{baseline["peak_mb"]:.1f}', memory])
    same = 'yes' if result['same_result'] else 'NO'
    lines = [rows.get_string(), f'same result: {same}' + f' ({result["compared"]})' * bool(result['compared'])]
    return '\n'.join(lines + result['details'])


def build_parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', nargs='?', help='which one; see --list')
    parser.add_argument('--list', action='store_true', help='name all benchmarks')
    parser.add_argument('--json', type=Path, help='also write the numbers to this file')
    parser.add_argument('--quick', action='store_true', help='tiny inputs, one round: a test that it runs')
    return parser


def main(args: argparse.Namespace) -> None:
    """List benchmarks, or run one and show it."""
    from benchmarks.base import load_benchmarks
    from benchmarks.runner import run_benchmark
    if args.list:
        for name, cls in load_benchmarks().items():
            print(f'{name:24s}{(cls.__doc__ or "").strip().splitlines()[0]}')
        return
    if args.name is None:
        raise ValueError('Give the name of a benchmark, or --list.')
    announce(f'Running {args.name} ...')
    result = run_benchmark(args.name, args.quick)
    print(table(result))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=2) + '\n')


if __name__ == '__main__':
    run_tool(build_parser(), main)
