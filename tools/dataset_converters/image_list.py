#!/usr/bin/env python
"""Write a COCO JSON of images only: the images on which a detector predicts.

    python tools/dataset_converters/image_list.py VOC2012 --list Main/trainaug_seg --out IMAGES.json
    python tools/test.py configs/maskdistill/mask-rcnn_r50_voc.py CHECKPOINT --out DIR \
        --cfg-options data_root=VOC2012/JPEGImages test_ann_file=IMAGES.json

Lists are files of ImageSets/Main or ImageSets/Segmentation, with or without a second column, or any text file of names.
The id of an image is its name without suffix, as tools/dataset_converters/voc_to_coco.py has it.
"""

import argparse
import os

from leopart_mm.cli import announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', help='folder of images, or of VOC (JPEGImages, ImageSets)')
    parser.add_argument('--list', metavar='LIST', help='name of a list in ImageSets, or a list file (all images)')
    parser.add_argument('--out', required=True, metavar='FILE', help='JSON file to write')
    return parser


def main(args: argparse.Namespace) -> None:
    announce(f'Reading {args.folder} ...')
    from leopart_mm.apis.image_catalogue import write_image_catalogue
    listing = args.list and os.path.expanduser(args.list)
    print(f'{args.out}: {write_image_catalogue(args.folder, args.out, listing)} images.')


if __name__ == '__main__':
    run_tool(build_parser(), main)
