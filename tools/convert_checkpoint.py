#!/usr/bin/env python
"""Convert a ViT checkpoint between layouts: `python tools/convert_checkpoint.py IN OUT --to LAYOUT`.

    python tools/convert_checkpoint.py leopart_vits16.ckpt vits16.pth --to timm
    python tools/convert_checkpoint.py work_dirs/run/epoch_50.pth leopart.ckpt --to leopart
    python tools/convert_checkpoint.py epoch_50.pth teacher.safetensors --to timm --which teacher
    python tools/convert_checkpoint.py epoch_50.pth FOLDER --to hf_dinov3

IN may be of Leopart, NeCo, DINO, DINOv2, DINOv3, iBOT, MAE, MoCo-v3, DeiT, timm, MMPretrain, mmseg, STEGO, HP, PriMaPs,
leopart_mm or Hugging Face's transformers (its folder); its layout is found by its keys. Numbers stay bit for bit. What
the new layout has no place for is printed. The layouts of transformers (hf_*) are written as a folder.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from leopart_mm.cli import announce, run_tool

if TYPE_CHECKING:
    from leopart_mm.checkpoints.conversion import Conversion

# Those of leopart_mm.checkpoints.conversion, which is slow to import.
LAYOUTS = ('timm', 'dino', 'dinov2', 'leopart', 'neco', 'mmseg', 'mmpretrain', 'leopart_mm', 'dinov3',
           'hf_dinov2', 'hf_dinov3')


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Convert a ViT checkpoint between layouts.')
    parser.add_argument('input', help='checkpoint file of any known layout, or a folder of transformers')
    parser.add_argument('output', type=Path, help='file to write (.safetensors: flat tensors, without pickle); '
                        'with --to hf_*: folder')
    parser.add_argument('--to', required=True, choices=LAYOUTS, help='layout to write')
    parser.add_argument('--which', metavar='student|teacher|PREFIX',
                        help='which network of the file (default: the one its authors evaluate, and beside a student '
                        'its teacher where the layout holds both)')
    parser.add_argument('--heads', type=int, metavar='N', help='heads of the attention, which dinov3 and hf_* need to '
                        'know (default: those that IN tells, or of the published network of the same width)')
    parser.add_argument('--arch', metavar='NAME', help="timm's name of the network (default: the one that a "
                        'config.json beside IN names). Only DeiT-3 and RoPE-ViT with learned positions need it: their '
                        'keys are the same')
    parser.add_argument('--overwrite', action='store_true', help='replace OUT if it exists')
    return parser


def main(args: argparse.Namespace) -> None:
    if args.output.exists() and not args.overwrite:
        raise FileExistsError(f'{args.output} exists already; --overwrite replaces it.')
    announce(f'Reading {args.input} ...')
    from leopart_mm.checkpoints.conversion import TARGETS, convert_checkpoint
    from leopart_mm.checkpoints.sources import read_checkpoint
    from leopart_mm.checkpoints.transformers_config import arch_of_folder
    arch = args.arch or arch_of_folder(args.input) or ''
    conversion = convert_checkpoint(read_checkpoint(args.input), args.to, args.which, args.input, args.heads, arch)
    write(conversion, args.output)
    for line in conversion.read_as:
        print(f'{args.input}, {line}')
    print(f'{args.output}, {args.to} layout: {conversion.num_kept} tensors')
    if conversion.dropped:
        print(f'No place in this layout for {len(conversion.dropped)}:')
        for key in conversion.dropped:
            print(f'  {key}')
    print(f'Load it by: {TARGETS[args.to].usage}')


def write(conversion: 'Conversion', path: Path) -> None:
    """Write each file whole, so that an interruption leaves no half of it."""
    from safetensors.torch import save_file

    from leopart_mm.checkpoints.conversion import flat_tensors
    from leopart_mm.files import save_torch_whole, write_text_whole, write_whole
    from leopart_mm.weight_folder import CONFIG, NAMES
    is_folder = conversion.config is not None
    if not is_folder and path.suffix != '.safetensors':
        save_torch_whole(conversion.checkpoint, path)
        return
    with write_whole(path / NAMES[0] if is_folder else path) as temporary:
        save_file(flat_tensors(conversion.checkpoint), temporary, dict(format='pt') if is_folder else None)
    if is_folder:
        write_text_whole(path / CONFIG, json.dumps(conversion.config, indent=2, sort_keys=True) + '\n')


if __name__ == '__main__':
    run_tool(build_parser(), main)
