#!/usr/bin/env python
"""Make Potsdam-3: crops of 200 x 200 pixels as PNG with three classes.

    python tools/dataset_converters/potsdam3.py STEGO_POTSDAM --out data/potsdam3     # published crops and lists
    python tools/dataset_converters/potsdam3.py ISPRS_TILES --out data/potsdam3

The first reads imgs/*.mat, gt/*.mat (where it is missing, all pixels are ignored) and labelled_train.txt,
labelled_test.txt, unlabelled_train.txt, as STEGO distributes them. The second reads top_potsdam_*_RGB.tif and
top_potsdam_*_label.tif (2_Ortho_RGB.zip and 5_Labels_all.zip of ISPRS, after registration), halves them and cuts 15 x
15 crops out of each; the lists then are ISPRS' 24 training and 14 test tiles, not STEGO's 4,545 and 855 crops, so
numbers differ from published ones. An interrupted run can be started again.
"""

import argparse

from leopart_mm.cli import announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help='folder with imgs/ and gt/, or with tiles')
    parser.add_argument('--out', default='data/potsdam3', help='folder to write to (data/potsdam3)')
    parser.add_argument('--unknown', choices=('error', 'ignore'), default='error',
                        help='what to do with ids above 5: stop (default), or 255 (published)')
    parser.add_argument('--workers', type=int, default=4, help='threads (4)')
    return parser


def main(args: argparse.Namespace) -> None:
    announce(f'Reading {args.root} ...')
    from leopart_mm.datasets.converters.potsdam3 import convert_potsdam
    convert_potsdam(args.root, args.out, args.unknown, args.workers)


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command makes what is left.')
