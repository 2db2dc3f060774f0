#!/usr/bin/env python
"""Merge COCO's 80 thing classes into 12 super-categories, from the panoptic annotations.

    python tools/dataset_converters/coco_things12.py data/coco

reads annotations/panoptic_annotations/panoptic_{train,val}2017.json and the folder panoptic_{train,val}2017/*.png
beside it (panoptic_annotations_trainval2017.zip of cocodataset.org; the PNGs are zips in it) and writes
annotations/things12/{train,val}2017/*.png with values 0..11, and 255 for stuff and unlabelled pixels. What is already
there is left alone, so an interrupted run can be started again.
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
    from leopart_mm.datasets.converters.coco_things12 import merge_things
    merge_things(args.root, args.splits, args.workers)


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command makes what is left.')
