#!/usr/bin/env python
"""Give masks categories by clustering: `python tools/cluster_masks.py MASKS.json --out OUT.json --images FOLDER`.

    python tools/cluster_masks.py masks --out clusters.json --images my/images --num-clusters 20
    python tools/cluster_masks.py voc12.json --support voc07.json --support-images VOC2007/JPEGImages --out OUT.json \
        --images VOC2012/JPEGImages --gt VOC2012                                # named by VOC's boxes

Each mask has the class token of its box's crop; the categories in OUT.json are the ids of clusters, or with --gt the
classes that clusters are matched to (kept in `info`, with the scores). Features are kept in OUT.json.features: an
interrupted run resumes by the same command.
"""

import argparse
import os
from pathlib import Path

from leopart_mm.cli import OptionAction, announce, run_tool

CONFIG = Path(__file__).resolve().parent.parent / 'configs' / 'maskdistill' / 'clusters_dino-vits8_voc.py'


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Give masks categories by clustering.')
    parser.add_argument('masks', help='COCO JSON of masks, the folder that tools/generate_masks.py wrote, or a list of '
                        "a detector's results (the best one per image)")
    parser.add_argument('--out', required=True, type=Path, metavar='FILE', help='the same masks with categories')
    parser.add_argument('--images', metavar='FOLDER',
                        help='folder that the names of images are relative to (default: data_root of the config)')
    parser.add_argument('--support', metavar='FILE', help='masks that are clustered too, and not written')
    parser.add_argument('--support-images', metavar='FOLDER', help='their images (default: those of --images)')
    parser.add_argument('--gt', metavar='FILE',
                        help='name clusters by this ground truth: a COCO JSON, or a folder of VOC with Annotations')
    parser.add_argument('--support-gt', metavar='FILE', help='that of the support set (default: --gt)')
    parser.add_argument('--num-clusters', type=int, metavar='N',
                        help='number of classes; overcluster=2 in mask_clusters makes twice as many clusters')
    parser.add_argument('--config', default=CONFIG,
                        help='config with model.backbone and mask_clusters (default: %(default)s)')
    parser.add_argument('--checkpoint', help='weights of the backbone (default: those that the config names)')
    parser.add_argument('--cache', metavar='FOLDER', help='where features are kept (default: FILE.features)')
    parser.add_argument('--show', metavar='FILE', help='picture (.jpg or .png) of some crops of each cluster')
    parser.add_argument('--batch-size', type=int, metavar='N', help='crops that go through the network at once')
    parser.add_argument('--workers', type=int, metavar='N',
                        help='processes that read images; the result does not depend on it')
    parser.add_argument('--device', help='such as cuda:1 or cpu (default: a GPU if there is one)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=OptionAction, metavar='KEY=VALUE',
        help='override config values: key=value, nested.key=value, key="[a,b]"; variables of the config '
        '(backbone=..., checkpoint=...) reach every place that uses them')
    return parser


def main(args: argparse.Namespace) -> None:
    announce(f'Reading config {args.config} ...')
    from leopart_mm.apis.cluster_masks import cluster_masks
    from leopart_mm.compat import tune_cpu_allocator
    from leopart_mm.engine.config import load_config
    from leopart_mm.files import printable
    tune_cpu_allocator()
    checkpoint = args.checkpoint and os.path.expanduser(args.checkpoint)
    report = cluster_masks(
        load_config(args.config, args.cfg_options), args.masks, args.out, args.images, args.support,
        args.support_images, args.gt, args.support_gt, checkpoint, args.cache, args.device, args.show,
        num_clusters=args.num_clusters, crops_per_batch=args.batch_size, num_workers=args.workers)
    print(f'{report.summary()} See {printable(args.out)}.')


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command computes the features that are left.')
