#!/usr/bin/env python
"""Write a network for other programs: `python tools/export.py CHECKPOINT --out FILE.onnx`.

    python tools/export.py fitted.pth --out model.onnx                        # features, scores and labels
    python tools/export.py fitted.pth --out backbone.onnx --backbone-only     # features
    python tools/export.py timm://vit_small_patch16_224.dino --out dino.pt2   # of torch.export

The input "image" is (batch, 3, H, W) RGB, 0..255, of the stated size and any batch; normalisation is in the file.
Outputs are on the patch grid: "features" (batch, C, h, w), "scores" (batch, K, h, w), "labels" (batch, h, w). The file
is run by onnxruntime (or torch) and compared before the tool ends. ONNX needs pip install 'leopart_mm[onnx]'.
"""

import argparse
import os

from leopart_mm.cli import announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='fitted model, or weights of a backbone (a file, timm://NAME.TAG, a URL)')
    parser.add_argument('--out', required=True, metavar='FILE', help='FILE.onnx, or FILE.pt2 for torch.export')
    parser.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'),
                        help='height and width of the images (default: those to which the fitted model has images '
                        'resized, else 448 448)')
    parser.add_argument('--backbone-only', action='store_true', help='without the head of a fitted model')
    parser.add_argument('--arch', metavar='NAME', help="timm's name of the architecture, of files that do not tell")
    return parser


def main(args: argparse.Namespace) -> int:
    announce(f'Reading {args.checkpoint} ...')
    from leopart_mm.apis.network_export import export_network
    report = export_network(os.path.expanduser(args.checkpoint), args.out, args.size and tuple(args.size),
                            not args.backbone_only, args.arch)
    print(report.summary())
    return 0


if __name__ == '__main__':
    run_tool(build_parser(), main)
