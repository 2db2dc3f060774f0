#!/usr/bin/env python
"""Merge COCO-Stuff's things and stuff into the 27 super-categories of unsupervised segmentation.

    python tools/dataset_converters/coco_stuff27.py data/coco

reads stuffthingmaps/{train,val}2017/*.png (stuffthingmaps_trainval2017.zip of github.com/nightrome/cocostuff; also
found in annotations/) for the images that curated/{train,val}2017/Coco164kFull_Stuff_Coarse_7.txt names, and writes
annotations/stuff27/{train,val}2017/*.png with values 0..26 and 255. The lists come with STEGO's copy of the data.
Images are those of COCO: images/{train,val}2017. Existing files are left alone, so an interrupted run can be started
again.
"""

import argparse

from leopart_mm.cli import announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help='COCO folder')
    parser.add_argument('--splits', nargs='+', default=['train2017', 'val2017'])
    parser.add_argument('--list', default='Coco164kFull_Stuff_Coarse_7.txt',
                        help='name of the lists in curated/, or all: every mask (Coco164kFull_Stuff_Coarse_7.txt)')
    parser.add_argument('--unknown', choices=('error', 'ignore', 'class0'), default='error',
                        help='what to do with ids from 182 to 254: stop (default), 255, or class 0 (published)')
    parser.add_argument('--workers', type=int, default=4, help='threads (4)')
    return parser


def main(args: argparse.Namespace) -> None:
    announce(f'Reading {args.root} ...')
    from leopart_mm.datasets.converters.coco_stuff27 import merge_coco
    merge_coco(args.root, args.splits, args.list, args.unknown, args.workers)


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command makes what is left.')
