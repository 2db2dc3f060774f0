#!/usr/bin/env python
"""Map Cityscapes' label ids to the 27 classes of unsupervised segmentation.

    python tools/dataset_converters/cityscapes27.py data/cityscapes

reads gtFine/{train,val}/*/*_gtFine_labelIds.png (leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of
cityscapes-dataset.com, after registration) and writes gtFine27/{train,val}/*/*.png with values 0..26 (id - 7), and 255
for ids below 7. Existing files are left alone, so an interrupted run can be started again.
"""

import argparse

from leopart_mm.cli import announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help='Cityscapes folder, with leftImg8bit/ and gtFine/')
    parser.add_argument('--splits', nargs='+', default=['train', 'val'])
    parser.add_argument('--unknown', choices=('error', 'ignore'), default='error',
                        help='what to do with ids above 33: stop (default), or 255 (published)')
    parser.add_argument('--workers', type=int, default=4, help='threads (4)')
    return parser


def main(args: argparse.Namespace) -> None:
    announce(f'Reading {args.root} ...')
    from leopart_mm.datasets.converters.cityscapes27 import map_cityscapes
    map_cityscapes(args.root, args.splits, args.unknown, args.workers)


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command makes what is left.')
