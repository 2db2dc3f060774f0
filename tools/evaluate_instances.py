#!/usr/bin/env python
"""Score predicted instances by their mask AP: `python tools/evaluate_instances.py PREDICTIONS.json --gt GT.json`.

    python tools/evaluate_instances.py predictions.json --gt instances.json                   # AP50, multi and single
    python tools/evaluate_instances.py predictions.json --gt instances.json --most-confident  # the best per image only
    python tools/evaluate_instances.py masks/annotations.json --gt instances.json --agnostic  # masks without classes
    python tools/evaluate_instances.py predictions.json --gt instances.json --matching hungarian   # raw cluster ids

PREDICTIONS.json is a list of COCO results (tools/test.py --out), or a COCO JSON of masks (tools/generate_masks.py,
tools/cluster_masks.py). Ground truths of VOC and of COCO20k are made by tools/dataset_converters/voc_to_coco.py and
coco20k.py.
"""

import argparse
import json
import os
from pathlib import Path

from leopart_mm.cli import announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Score predicted instances by their mask AP.')
    parser.add_argument('predictions', help='list of COCO results, or COCO JSON of masks')
    parser.add_argument('--gt', required=True, metavar='FILE', help='COCO JSON of the ground truth, with masks')
    parser.add_argument('--most-confident', action='store_true',
                        help="only 'single': the most certain prediction per image, against the object whose box it "
                        'overlaps most; images without a prediction are left out, as published')
    parser.add_argument('--agnostic', action='store_true', help='leave classes aside: all are one')
    parser.add_argument('--matching', choices=['direct', 'hungarian'],
                        help="'direct' if categories are named already, 'hungarian' for ids of clusters (default: "
                        'hungarian if the file says that its categories are clusters, else direct)')
    parser.add_argument('--published-ids', action='store_true',
                        help='count annotations from 0, as published: the match with the first one is lost')
    parser.add_argument('--crowd-targets', action='store_true',
                        help='let a crowd be the object of an image in single, as published')
    parser.add_argument('--subset', action='store_true',
                        help='leave out predictions of images that the ground truth does not list')
    parser.add_argument('--json', metavar='FILE', help='also write the numbers to this file')
    return parser


def main(args: argparse.Namespace) -> None:
    announce(f'Reading {args.predictions} ...')
    from leopart_mm.evaluation.instance_report import evaluate_instances
    from leopart_mm.files import write_text_whole
    predictions, gt = (os.path.expanduser(path) for path in (args.predictions, args.gt))
    modes = ['single'] if args.most_confident else ['multi', 'single']
    report = evaluate_instances(predictions, gt, modes, not args.agnostic, args.matching, int(not args.published_ids),
                                args.crowd_targets, args.subset)
    print(report.summary())
    if args.json:
        found = dict(matching=report.matching, classes=report.classes, unlisted=report.unlisted, scores={
            mode: dict(scores.stats, images=scores.images, objects=scores.objects, predictions=scores.predictions,
                       without_prediction=scores.without_prediction, without_truth=scores.without_truth)
            for mode, scores in report.scores.items()})
        write_text_whole(Path(args.json).expanduser(), json.dumps(found, indent=1) + '\n')


if __name__ == '__main__':
    run_tool(build_parser(), main)
