#!/usr/bin/env python
"""Write a ground truth in COCO's form of Pascal VOC's objects.

    python tools/dataset_converters/voc_to_coco.py VOC2012 --split trainval --out instances.json
    python tools/dataset_converters/voc_to_coco.py VOC2012 --split trainaug --out instances.json --objects components \
        --class-folder SegmentationClassAug        # without maps of objects
    python tools/dataset_converters/voc_to_coco.py VOC2012 --split instance --out instance_gt.json --published

Objects are those of SegmentationObject, their classes the most frequent ones of SegmentationClass inside. Image ids are
the names in the list, masks run lengths. tools/evaluate_instances.py scores predictions against such a file.
"""

import argparse
import os

from leopart_mm.cli import announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help='folder with JPEGImages, ImageSets, SegmentationClass and SegmentationObject')
    parser.add_argument('--out', required=True, metavar='FILE', help='JSON file to write')
    parser.add_argument('--split', default='val', metavar='LIST',
                        help='name of a list in ImageSets/Segmentation or ImageSets/Main, or a list file (%(default)s)')
    parser.add_argument('--objects', choices=['SegmentationObject', 'components'], default='SegmentationObject',
                        help='what the objects are; components: connected components of each class, for data without '
                        'maps of objects (%(default)s)')
    parser.add_argument('--class-folder', default='SegmentationClass', metavar='NAME',
                        help='folder of the maps of classes (%(default)s)')
    parser.add_argument('--shape', choices=['rle', 'polygons'], default=None,
                        help='masks as they are, or as polygons as published, with filled holes and small objects lost '
                        '(rle; with --published polygons)')
    parser.add_argument('--agnostic', action='store_true', help='one category, 0')
    parser.add_argument('--min-area', type=int, metavar='PIXELS',
                        help='leave smaller objects out, and count them (0; of components 64)')
    parser.add_argument('--published', action='store_true',
                        help='polygons, annotations counted from 0, file names without suffix, a category background')
    parser.add_argument('--workers', type=int, default=4, help='threads (4)')
    return parser


def main(args: argparse.Namespace) -> None:
    announce(f'Reading {args.root} ...')
    from leopart_mm.datasets.converters.voc_instances import convert
    shape = args.shape or ('polygons' if args.published else 'rle')
    convert(args.root, os.path.expanduser(args.out), args.split, args.objects, shape, args.agnostic, args.class_folder,
            args.min_area, args.published, args.workers)


if __name__ == '__main__':
    run_tool(build_parser(), main)
