#!/usr/bin/env python
"""Make label maps of predicted instances: `python tools/generate_pseudo_labels.py PREDICTIONS.json ...`.

    python tools/generate_pseudo_labels.py PREDICTIONS.json --images JPEGImages --gt GT.json --out maps
    python tools/generate_pseudo_labels.py clusters.json --images JPEGImages --out maps --overlap published --order file
    python tools/generate_pseudo_labels.py PREDICTIONS.json --images JPEGImages --gt GT.json --out maps \
        --gt-labels SegmentationClass --num-labels 21               # and score the maps

PREDICTIONS.json is a list of COCO results, or a COCO JSON of masks. DIR/labels/NAME.png holds 0 for background and
1 + category for an instance; DIR/images.txt lists the images that have a map: train on these. An interrupted run
resumes by the same command.
"""

import argparse
import os
from pathlib import Path

from leopart_mm.cli import announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Make label maps of predicted instances.')
    parser.add_argument('predictions', help='list of COCO results, or COCO JSON of masks')
    parser.add_argument('--images', required=True, metavar='FOLDER',
                        help='folder that the names of images are relative to')
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder for the label maps')
    parser.add_argument('--gt', metavar='FILE', help='COCO JSON that lists the images; a list of results needs it '
                        'unless its image ids are names of files. Its annotations give the box AP of the selection')
    parser.add_argument('--threshold', type=float, default=0.9, metavar='SCORE',
                        help='least score of an instance; an image with none keeps its best (default: %(default)s)')
    parser.add_argument('--order', default='score', choices=['score', 'file'],
                        help='which instances are first: the best, or those first in the file up to one below the '
                        'threshold, as published (default: %(default)s)')
    parser.add_argument('--overlap', default='first_wins', choices=['first_wins', 'published', 'skip'],
                        help='whose are the pixels that several instances claim: see merge_instances (default: '
                        '%(default)s)')
    parser.add_argument('--shape', default='mask', choices=['mask', 'box', 'grabcut'],
                        help='pixels of an instance: its mask, its box, or what GrabCut finds there (default: '
                        '%(default)s)')
    parser.add_argument('--unpredicted', default='leave_out', choices=['leave_out', 'ignore'],
                        help='images without a prediction get no map, or one that training ignores (default: '
                        '%(default)s)')
    parser.add_argument('--num-classes', type=int, metavar='N',
                        help='number of categories (default: those of the files)')
    parser.add_argument('--gt-labels', metavar='FOLDER', help='score the maps against the label maps NAME.png in there')
    parser.add_argument('--num-labels', type=int, metavar='N',
                        help='number of classes in --gt-labels, background included (default: that of categories + 1)')
    parser.add_argument('--matching', default='hungarian', choices=['hungarian', 'direct', 'iou', 'precision'],
                        help="with --gt-labels: 'direct' if categories are named already, 'hungarian' for ids of "
                        'clusters; equal where the names are the best ones (default: %(default)s)')
    parser.add_argument('--workers', type=int, default=0, metavar='N',
                        help='processes beside this one, worth it for GrabCut; the result does not depend on it')
    parser.add_argument('--show-dir', metavar='DIR', help='folder for a picture of each map over its image')
    parser.add_argument('--overwrite', action='store_true',
                        help='make all maps again, also where DIR holds those of other predictions or settings')
    return parser


def main(args: argparse.Namespace) -> int:
    announce(f'Reading {args.predictions} ...')
    from leopart_mm.apis.label_scores import score_folder
    from leopart_mm.apis.pseudo_labels import LabelSettings, generate_pseudo_labels
    from leopart_mm.files import printable
    settings = LabelSettings(args.threshold, args.order, args.overlap, args.shape, args.unpredicted)
    paths = [path and os.path.expanduser(path) for path in (args.predictions, args.images, args.gt, args.gt_labels)]
    predictions, images, gt, gt_labels = paths
    report = generate_pseudo_labels(predictions, images, args.out, settings, gt, args.num_classes, args.workers,
                                    args.overwrite, args.show_dir)
    print(f'{report.summary()} See {printable(args.out)}.')
    if gt_labels is not None:
        labels = report.num_categories + 1
        print(score_folder(args.out, gt_labels, labels, args.num_labels or labels, args.matching).summary())
    return 0 if report.num_done + report.num_present else 1


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command makes the maps that are left.')
