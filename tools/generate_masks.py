#!/usr/bin/env python
"""Make mask proposals of images: `python tools/generate_masks.py CONFIG [CHECKPOINT] --out DIR`.

    python tools/generate_masks.py CONFIG --out proposals                     # the images of proposal_dataloader
    python tools/generate_masks.py CONFIG --out proposals --images my/images  # or those of a folder
    python tools/generate_masks.py CONFIG --out proposals --show-dir pictures

CONFIG says `model.backbone`, `proposals` (the source) and `proposal_dataloader`. An interrupted run resumes by the same
command. Training reads the files by dict(type='leopart_mm.LoadProposals', folder=DIR).
"""

import argparse
import os
from pathlib import Path

from leopart_mm.cli import OptionAction, announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Make mask proposals of images.')
    parser.add_argument('config', help='config file with model.backbone, proposals and proposal_dataloader')
    parser.add_argument('checkpoint', nargs='?', help='weights of the backbone (default: those that the config names)')
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder for the proposals')
    parser.add_argument('--images', metavar='FOLDER', help='images instead of those of proposal_dataloader')
    parser.add_argument('--show-dir', metavar='DIR', help='folder for a picture of the masks of every image')
    parser.add_argument('--batch-size', type=int, metavar='N',
                        help='images that go through the network at once (default: that of proposal_dataloader)')
    parser.add_argument('--workers', type=int, metavar='N',
                        help='processes for what comes after the network, such as a CRF; the result does not depend on '
                        'it (default: the number of CPU cores)')
    parser.add_argument('--device', help='such as cuda:1 or cpu (default: a GPU if there is one)')
    parser.add_argument('--overwrite', action='store_true',
                        help='make all proposals again, also where DIR holds those of other settings')
    parser.add_argument(
        '--cfg-options', nargs='+', action=OptionAction, metavar='KEY=VALUE',
        help='override config values: key=value, nested.key=value, key="[a,b]"; variables of the config '
        '(data_root=..., checkpoint=...) reach every place that uses them')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
                        help='refused: one process drives the network, and --workers spreads the rest')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser


def main(args: argparse.Namespace) -> int:
    if args.launcher != 'none' or int(os.environ.get('WORLD_SIZE', '1')) > 1:
        raise ValueError('tools/generate_masks.py runs as one process and spreads the slow part over --workers: start '
                         'it without a launcher. To use several machines or GPUs, give each a part of the images and '
                         'an --out of its own.')
    announce(f'Reading config {args.config} ...')
    from leopart_mm.apis.generate_masks import generate_masks
    from leopart_mm.compat import tune_cpu_allocator
    from leopart_mm.engine.config import load_config
    from leopart_mm.files import printable
    tune_cpu_allocator()
    checkpoint, images = (path and os.path.expanduser(path) for path in (args.checkpoint, args.images))
    report = generate_masks(load_config(args.config, args.cfg_options), args.out, checkpoint, images, args.show_dir,
                            args.batch_size, args.workers, args.device, args.overwrite)
    print(f'{report.summary()} See {printable(args.out)}.')
    return 0 if report.masks else 1


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command makes the proposals that are left.')
