#!/usr/bin/env python
"""Dense features of images: `python tools/extract_features.py IMAGES --backbone SOURCE --out DIR`.

    python tools/extract_features.py my/images --backbone timm://vit_small_patch16_224.dino --out features
    python tools/extract_features.py my/images --backbone weights.pth --arch vit_small_patch16_224 --out features
    python tools/extract_features.py my/images --backbone fitted.pth --out features --format npz --dtype float16

DIR/features/<name>.safetensors holds "features" (rows, columns, channels) and "class_token"; DIR/features.json says
which image each file is of, its size and its grid. The same command continues an interrupted run.
"""

import argparse
import os
from pathlib import Path

from leopart_mm.cli import announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', nargs='+', help='folder (searched with its sub-folders) or image files')
    parser.add_argument('--backbone', required=True, metavar='SOURCE',
                        help='timm://NAME.TAG, hf-hub:OWNER/NAME, a URL, a file of weights, or a checkpoint of ours')
    parser.add_argument('--arch', metavar='NAME', help="timm's name of the architecture, of files that do not tell")
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder for the features')
    parser.add_argument('--side', type=int, default=448, metavar='PIXELS',
                        help='longest side of what the network sees (default: 448)')
    parser.add_argument('--block', type=int, default=1, metavar='N',
                        help='block whose output is taken, counted from the last one (default: 1)')
    parser.add_argument('--format', choices=['safetensors', 'npz'], default='safetensors',
                        help='file format (default: safetensors)')
    parser.add_argument('--dtype', choices=['float32', 'float16'], default='float32',
                        help='number type (default: float32)')
    parser.add_argument('--device', help='such as cuda:1 or cpu (default: a GPU if there is one)')
    parser.add_argument('--overwrite', action='store_true',
                        help='make all files again, also where DIR holds those of other settings')
    return parser


def main(args: argparse.Namespace) -> int:
    announce(f'Reading {args.backbone} ...')
    from leopart_mm.apis.backbone_source import BackboneSource
    from leopart_mm.apis.extract_features import FeatureRun
    from leopart_mm.apis.image_inputs import list_images
    from leopart_mm.compat import tune_cpu_allocator
    from leopart_mm.files import printable
    tune_cpu_allocator()
    images = list_images(args.images[0] if len(args.images) == 1 else args.images)  # before OUT is touched
    source = BackboneSource.read(os.path.expanduser(args.backbone), args.arch)
    if source.guessed:
        print("Mean and standard deviation of these weights are unknown: ImageNet's are taken.")
    run = FeatureRun(source, args.out, args.side, args.block, args.format, args.dtype, args.device, args.overwrite)
    report = run.run(images)
    parts = [f'Features of {report.num_done} images', f'{report.num_present} existed already',
             *report.troubles('feature files')]
    print(f'{", ".join(parts)}. See {printable(run.out)}.')
    return 0 if report.num_done or report.num_present else 1


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command extracts the features that are left.')
