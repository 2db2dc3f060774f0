#!/usr/bin/env python
"""Draw how images are split into principal masks: directions, similarity maps, masks before and after the CRF.

    python tools/demo_primaps.py photo.jpg                                  # DINO ViT-B/8, downloaded
    python tools/demo_primaps.py my/images --checkpoint dino_vits8.pth --arch vit_small_patch8_224 --out pictures

Writes OUT/NAME.png per image. The published demo takes --threshold 0.35.
"""

import argparse
import os
from pathlib import Path

from leopart_mm.cli import announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', nargs='+', help='image files, or a folder (searched with its sub-folders)')
    parser.add_argument('--out', type=Path, default=Path('primaps'), help='folder for the pictures (primaps)')
    parser.add_argument('--checkpoint', default='timm://vit_base_patch8_224.dino',
                        help='weights of a ViT: a file, timm://NAME.TAG, hf-hub:OWNER/NAME or a URL '
                        '(timm://vit_base_patch8_224.dino)')
    parser.add_argument('--arch', help='timm name of the network, needed with a file; with its tag the colour '
                        'statistics are known too')
    parser.add_argument('--block', type=int, default=1, help='block whose output is used, counted from the last (1)')
    parser.add_argument('--size', type=int, default=320, metavar='PIXELS',
                        help='shorter side; the middle square is used, rounded to whole patches (320)')
    parser.add_argument('--threshold', type=float, default=0.4,
                        help='share of the largest similarity from which a cell belongs to a mask (0.4; 0.35 in the '
                        'published demo)')
    parser.add_argument('--orientation', choices=('max_abs', 'library'), default='max_abs',
                        help='sign of a direction: the stronger side, or what the SVD gives, as published (max_abs)')
    parser.add_argument('--no-crf', action='store_true', help='leave masks at the borders of cells')
    parser.add_argument('--masks', type=int, default=12, help='number of masks with a row of pictures (12)')
    parser.add_argument('--mean', type=float, nargs=3, metavar=('R', 'G', 'B'),
                        help='colour mean, 0..255 (that of the weights, or ImageNet)')
    parser.add_argument('--std', type=float, nargs=3, metavar=('R', 'G', 'B'), help='standard deviation likewise')
    parser.add_argument('--device', help='such as cuda:1 or cpu (default: a GPU if there is one)')
    return parser


def main(args: argparse.Namespace) -> int:
    if args.masks < 1:
        raise ValueError(f'--masks {args.masks}: must be at least 1.')
    announce(f'Reading {args.checkpoint} ...')
    from leopart_mm.apis.image_inputs import list_images
    from leopart_mm.apis.principal_view import PrincipalViewer
    from leopart_mm.datasets.image_reading import ImageReadError
    from leopart_mm.datasets.output_marks import refuse_images_among
    from leopart_mm.files import printable, write_image_whole
    images = list_images(args.images[0] if len(args.images) == 1 else args.images)
    files = [f'{name}.png' for name in images.names]
    out = args.out.expanduser()
    refuse_images_among(out, files, images.images)
    options = dict(crf=None) if args.no_crf else {}
    viewer = PrincipalViewer(os.path.expanduser(args.checkpoint), args.arch, args.block, args.size, args.mean,
                             args.std, args.device, threshold=args.threshold, orientation=args.orientation, **options)
    if viewer.guessed:
        print('The weights do not tell the colours that they were trained with: ImageNet statistics are used '
              '(--mean, --std, or --arch with a tag).')
    if viewer.side != args.size:
        print(f'The side is {viewer.side} pixels, whole patches of {viewer.network.patch_size}.')
    drawn = 0
    for image, name in zip(images.images, files, strict=True):
        try:
            steps = viewer(image)
        except ImageReadError as error:
            if len(files) == 1:
                raise
            print(f'{error} It is skipped.', flush=True)
            continue
        file = out / name
        write_image_whole(file, steps.sheet(args.masks))
        drawn += 1
        print(f'{printable(image)}: {len(steps.masks)} directions, {steps.num_masks} masks, {printable(file)}',
              flush=True)
    return 0 if drawn else 1


if __name__ == '__main__':
    run_tool(build_parser(), main)
