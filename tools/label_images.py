#!/usr/bin/env python
"""Label images by a trained segmentor and a CRF, to train on: `python tools/label_images.py CHECKPOINT --images ...`.

    python tools/label_images.py deeplab.pth --config CONFIG --images JPEGImages --list maps/images.txt --out round1
    python tools/label_images.py deeplab.pth --images JPEGImages --list trainaug.txt --out plain --no-crf

DIR/labels/NAME.png holds the class of every pixel, DIR/images.txt the images that have a map. CHECKPOINT carries its
config where this package trained it. An interrupted run resumes by the same command.
"""

import argparse
import os
from pathlib import Path

from leopart_mm.cli import announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Label images by a trained segmentor and a CRF, to train on.')
    parser.add_argument('checkpoint', help='of the trained segmentor')
    parser.add_argument('--images', required=True, metavar='FOLDER', help='folder of the images')
    parser.add_argument('--list', metavar='FILE', help='names of the images in FOLDER, one per line (default: all)')
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder for the label maps')
    parser.add_argument('--config', help='config file (default: the one in the checkpoint)')
    parser.add_argument('--no-crf', action='store_true', help='take the labels of the network as they are')
    parser.add_argument('--labels-at', default='image', choices=['image', 'network'],
                        help='with --no-crf: labels of the logits at the size of the image, or those at the size of '
                        'the network, resized (as published) (default: %(default)s)')
    parser.add_argument('--workers', type=int, metavar='N',
                        help='processes for the CRF; the labels do not depend on it (default: the number of CPU cores)')
    parser.add_argument('--gt-labels', metavar='FOLDER', help='score the maps against the label maps NAME.png in there')
    parser.add_argument('--matching', default='direct', choices=['hungarian', 'direct', 'iou', 'precision'],
                        help="with --gt-labels: 'direct' if classes are named already, 'hungarian' for ids of clusters "
                        '(default: %(default)s)')
    parser.add_argument('--device', help='such as cuda:1 or cpu (default: a GPU if there is one)')
    parser.add_argument('--overwrite', action='store_true',
                        help='label all images again, also where DIR holds labels of another network or CRF')
    return parser


def main(args: argparse.Namespace) -> int:
    announce(f'Reading {args.checkpoint} ...')
    from leopart_mm.apis.image_inputs import list_images
    from leopart_mm.apis.label_scores import score_folder
    from leopart_mm.apis.listed_images import read_image_list
    from leopart_mm.apis.network_labels import LabelRun, LeopartInferencer
    from leopart_mm.compat import tune_cpu_allocator
    from leopart_mm.files import printable
    from leopart_mm.masks.crf import CRFSettings
    from leopart_mm.worker_processes import cpu_count
    tune_cpu_allocator()
    checkpoint, config, folder = (path and os.path.expanduser(path) for path in (args.checkpoint, args.config,
                                                                                 args.images))
    images = list_images(folder) if args.list is None else read_image_list(folder, args.list)
    inferencer = LeopartInferencer(checkpoint, config, device=args.device)
    workers = cpu_count() if args.workers is None else args.workers
    run = LabelRun(inferencer, args.out, None if args.no_crf else CRFSettings(), args.labels_at, workers,
                   args.overwrite)
    report = run.run(images)
    print(f'{report.num_present} label maps were there already. ' * bool(report.num_present)
          + f'{report.summary()} See {printable(args.out)}.')
    if args.gt_labels is not None:
        number = inferencer.num_clusters
        print(score_folder(args.out, os.path.expanduser(args.gt_labels), number, number, args.matching).summary())
    return 0 if report.num_done + report.num_present else 1


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command labels the images that are left.')
