#!/usr/bin/env python
"""Convert a ViT checkpoint between layouts: `python tools/convert_checkpoint.py IN OUT --to LAYOUT`.

    python tools/convert_checkpoint.py leopart_vits16.ckpt vits16.pth --to timm
    python tools/convert_checkpoint.py work_dirs/run/epoch_50.pth leopart.ckpt --to leopart
    python tools/convert_checkpoint.py epoch_50.pth teacher.safetensors --to timm --which teacher

IN may be of Leopart, NeCo, DINO, DINOv2, iBOT, MAE, MoCo-v3, DeiT, timm, MMPretrain, mmseg, STEGO, HP, PriMaPs or
leopart_mm; its layout is found by its keys. Numbers stay bit for bit. What the new layout has no place for is printed.
"""

import argparse
from pathlib import Path

from leopart_mm.cli import announce, run_tool

# Those of leopart_mm.checkpoints.conversion, which is slow to import.
LAYOUTS = ('timm', 'dino', 'dinov2', 'leopart', 'neco', 'mmseg', 'mmpretrain', 'leopart_mm')


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Convert a ViT checkpoint between layouts.')
    parser.add_argument('input', help='checkpoint file of any known layout')
    parser.add_argument('output', type=Path, help='file to write; .safetensors writes flat tensors without pickle')
    parser.add_argument('--to', required=True, choices=LAYOUTS, help='layout to write')
    parser.add_argument('--which', metavar='student|teacher|PREFIX',
                        help='which network of the file (default: the one its authors evaluate, and beside a student '
                        'its teacher where the layout holds both)')
    parser.add_argument('--overwrite', action='store_true', help='replace OUT if it exists')
    return parser


def main(args: argparse.Namespace) -> None:
    if args.output.exists() and not args.overwrite:
        raise FileExistsError(f'{args.output} exists already; --overwrite replaces it.')
    announce(f'Reading {args.input} ...')
    from leopart_mm.checkpoints.conversion import TARGETS, convert_checkpoint
    from leopart_mm.checkpoints.sources import read_checkpoint
    conversion = convert_checkpoint(read_checkpoint(args.input), args.to, args.which, args.input)
    write(conversion.checkpoint, args.output)
    for line in conversion.read_as:
        print(f'{args.input}, {line}')
    print(f'{args.output}, {args.to} layout: {conversion.num_kept} tensors')
    if conversion.dropped:
        print(f'No place in this layout for {len(conversion.dropped)}:')
        for key in conversion.dropped:
            print(f'  {key}')
    print(f'Load it by: {TARGETS[args.to].usage}')


def write(checkpoint: dict, path: Path) -> None:
    """Write the file whole, so that an interruption leaves no half of it."""
    from safetensors.torch import save_file

    from leopart_mm.checkpoints.conversion import flat_tensors
    from leopart_mm.files import save_torch_whole, write_whole
    if path.suffix == '.safetensors':
        with write_whole(path) as temporary:
            save_file(flat_tensors(checkpoint), temporary)
    else:
        save_torch_whole(checkpoint, path)


if __name__ == '__main__':
    run_tool(build_parser(), main)
