#!/usr/bin/env python
"""Cut the street scenes with their object parts out of the full ADE20K.

    python tools/dataset_converters/ade20k_street.py data/ADE20K_2021_17_01 --out data/ade20k_street

The full data set (with parts; not the 150-class challenge version) comes from ade20k.csail.mit.edu, after registration.
Both releases are read: 2016 (images/training/s/street/*.jpg) and 2021 (images/ADE/training/urban/street/*.jpg), each
with *_parts_1.png beside the images. Taken are the images of a scene folder `street` in which at least one part is
marked. The part ids that occur anywhere in them, sorted, become the classes 0, 1, ...; every other pixel is 255.

The output is a data set in VOC layout with meta.json (class names and their ADE20K ids). Images are hard-linked where
the file system allows it. Existing files are left alone, so an interrupted run can be started again.
"""

import argparse

from leopart_mm.cli import announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help='folder of the full ADE20K, with images/')
    parser.add_argument('--out', default='data/ade20k_street', help='folder to write to (data/ade20k_street)')
    parser.add_argument('--scene', default='street', help='name of the scene folders to take (street)')
    parser.add_argument('--workers', type=int, default=4, help='threads (4)')
    return parser


def main(args: argparse.Namespace) -> None:
    announce(f'Reading {args.root} ...')
    from leopart_mm.datasets.converters.ade20k_street import extract_scene
    extract_scene(args.root, args.out, args.scene, args.workers)


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command makes what is left.')
