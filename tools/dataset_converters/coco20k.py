#!/usr/bin/env python
"""Cut COCO20k out of COCO's annotations.

    python tools/dataset_converters/coco20k.py annotations/instances_train2014.json --list coco_20k_filenames.txt \
        --out data/coco20k

Writes instances_selected.json and instances_selected_agnostic.json (one category, 0), with images and annotations in
the order of the list, crowds too. The list is a text file of 19,817 lines train2014/COCO_train2014_<12 digits>.jpg,
not part of leopart_mm: codes for object discovery such as TokenCut have it as datasets/coco_20k_filenames.txt. Any
other list of names will do as well.
"""

import argparse

from leopart_mm.cli import announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('annotations', help='instances_train2014.json')
    parser.add_argument('--list', required=True, metavar='FILE', help='names of images, one per line')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder to write to')
    return parser


def main(args: argparse.Namespace) -> None:
    announce(f'Reading {args.annotations} ...')
    from leopart_mm.datasets.converters.coco20k import convert
    convert(args.annotations, args.list, args.out)


if __name__ == '__main__':
    run_tool(build_parser(), main)
