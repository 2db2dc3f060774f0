"""Check a GPU: does it compute what the CPU computes, and how fast is everything on it?

    python tools/gpu_check.py                     # CUDA if there is a GPU, else the CPU; at most eight minutes
    python tools/gpu_check.py --minutes 20

Writes results.json and page.md into a folder. What does not fit into the time is named there; the same command again
continues with it. The exit status is 1 if something differs from the CPU by more than its bound.
"""

import argparse
import sys
import time
from pathlib import Path

from leopart_mm.cli import announce, run_tool

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # benchmarks/ is part of the checkout, not installed


def build_parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', help='default: cuda if torch sees a GPU, else cpu')
    parser.add_argument('--minutes', type=float, default=8., help='time of this call in all (default: 8)')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/gpu_check'),
                        help='folder of results.json and page.md (default: work_dirs/gpu_check)')
    parser.add_argument('--quick', action='store_true', help='benchmarks with tiny inputs: a test that they run')
    return parser


def main(args: argparse.Namespace) -> int:
    """Run what is not done yet, and write the page."""
    until = time.monotonic() + 60 * args.minutes
    announce('Looking for a GPU ...')
    import torch

    from benchmarks.base import load_benchmarks
    from benchmarks.device_checks import load_checks
    from benchmarks.device_report import DeviceReport, page
    from leopart_mm.files import write_text_whole
    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    report = DeviceReport(args.out / 'results.json', device, args.quick)
    announce(f'{report.state["about"]["device"]}, {args.minutes:g} minutes.'
             + (' Torch sees no GPU: this checks the CPU.' if device == 'cpu' else ''))
    try:
        report.run_checks(load_checks(), until, announce)
        report.run_benchmarks(load_benchmarks(), until, announce)
    finally:
        write_text_whole(args.out / 'page.md', page(report.state))
    print(page(report.state))
    announce(f'Written to {args.out / "page.md"} and {report.file}.')
    failures = report.failures()
    if failures:
        announce(f'Not as on the CPU, or failed: {", ".join(failures)}.')
    return 1 if failures else 0


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command continues with what is not done.')
