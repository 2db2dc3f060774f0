#!/usr/bin/env python
"""Merge COCO-Stuff's 91 stuff classes into 15 super-categories.

    python tools/dataset_converters/coco_stuff15.py data/coco

reads annotations/stuff_annotations/stuff_{train,val}2017_pixelmaps/*.png (stuff_annotations_trainval2017.zip of
cocodataset.org; the pixelmaps are a second zip in it) and writes annotations/stuff15/{train,val}2017/*.png with values
0..14, and 255 for things and 'other'. Existing files are left alone, so an interrupted run can be started again.
"""

import argparse

from leopart_mm.cli import announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help='COCO folder, with annotations/')
    parser.add_argument('--splits', nargs='+', default=['train2017', 'val2017'])
    parser.add_argument('--workers', type=int, default=4, help='threads (4)')
    return parser


def main(args: argparse.Namespace) -> None:
    announce(f'Reading {args.root} ...')
    from leopart_mm.datasets.converters.coco_stuff15 import merge_stuff
    merge_stuff(args.root, args.splits, args.workers)


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command makes what is left.')
