#!/usr/bin/env python
"""Pretrain the small network of the demo: Leopart on generated scenes that the demo does not see.

    python tools/pretrain_sample.py --resume         # writes work_dirs/pretrain/vit-micro.safetensors
    python tools/demo.py --start work_dirs/pretrain/vit-micro.safetensors

The network starts from random weights and sees no labels. Kept are the weights of the teacher in half precision, less
than a megabyte: with the default settings the file that comes with leopart_mm (docs/sample_network.md).
"""

import argparse
import subprocess
import sys
from pathlib import Path

from leopart_mm.cli import announce, run_tool
from leopart_mm.cli.shipped import shipped_folder

CONFIG = 'sample/leopart_vit-micro_sample.py'
WEIGHTS = 'vit-micro.safetensors'
ITERATIONS = 1200


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, help=f'file to write (WORK_DIR/{WEIGHTS})')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/pretrain'), help='(work_dirs/pretrain)')
    parser.add_argument('--images', type=int, default=3000, help='scenes, three quarters of them to train on (3000)')
    parser.add_argument('--size', type=int, default=128, help='side of a scene in pixels (128)')
    parser.add_argument('--iterations', type=int, default=ITERATIONS, help=f'training steps ({ITERATIONS})')
    parser.add_argument('--seed', type=int, default=1, help="seed of scenes and training; the demo's scenes have 0 (1)")
    parser.add_argument('--resume', action='store_true', help='continue from the last checkpoint in the work folder')
    return parser


def main(args: argparse.Namespace) -> None:
    announce(f'Pretraining on {args.images * 3 // 4} generated scenes ...')
    from leopart_mm.datasets.sample import write_sample
    data = (args.work_dir / 'scenes').resolve()
    write_sample(data, args.images, args.size, args.seed)
    subprocess.run([sys.executable, str(shipped_folder('tools') / 'train.py'), str(shipped_folder('configs') / CONFIG),
                    '--work-dir', str(args.work_dir / 'train'), '--seed', str(args.seed),
                    *(['--resume'] if args.resume else []), '--cfg-options', f'data_root={data}',
                    f'iterations={args.iterations}', 'default_hooks.checkpoint.interval=20',
                    'default_hooks.checkpoint.max_keep_ckpts=2'], check=True)
    out = args.out or args.work_dir / WEIGHTS
    count = keep_teacher(args.work_dir / 'train' / f'iter_{args.iterations}.pth', out)
    print(f'{out}: {count} tensors, {out.stat().st_size / 1e6:.2f} MB.')


def keep_teacher(checkpoint: Path, out: Path) -> int:
    """Write the backbone of the teacher in timm's layout and half precision; returns the number of tensors."""
    from safetensors.torch import save_file

    from leopart_mm.checkpoints.conversion import convert_checkpoint, flat_tensors
    from leopart_mm.checkpoints.sources import read_checkpoint
    from leopart_mm.files import write_whole
    found = convert_checkpoint(read_checkpoint(checkpoint), 'timm', 'teacher', checkpoint)
    tensors = {key: tensor.half().contiguous() for key, tensor in flat_tensors(found.checkpoint).items()}
    with write_whole(out) as temporary:
        save_file(tensors, temporary)
    return len(tensors)


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command with --resume continues.')
