"""Write the generated sample data set (VOC layout): scenes of multi-part objects with ground truth.

Example: python tools/generate_sample.py data/sample --images 400 --size 160 --seed 0
"""

import argparse
import time

from leopart_mm.cli import run_tool


def build_parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', help='folder to write to')
    parser.add_argument('--images', type=int, default=400, help='number of images, train and val together (400)')
    parser.add_argument('--size', type=int, default=160, help='side of an image in pixels (160)')
    parser.add_argument('--seed', type=int, default=0, help='seed of all random choices (0)')
    return parser


def main(args: argparse.Namespace) -> None:
    """Generate and say what was written."""
    from leopart_mm.datasets.sample import write_sample
    start = time.perf_counter()
    counts = write_sample(args.out, args.images, args.size, args.seed)
    print(f'Wrote {counts["train"]} training and {counts["val"]} validation images of {args.size} x {args.size} pixels '
          f'to {args.out} in {time.perf_counter() - start:.1f} s.')


if __name__ == '__main__':
    run_tool(build_parser(), main)
