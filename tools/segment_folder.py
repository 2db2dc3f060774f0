#!/usr/bin/env python
"""Segment images, with a fitted model or by fitting one on them: `python tools/segment_folder.py IMAGES --out DIR`.

    python tools/segment_folder.py my/images --fit --out out                      # a folder and nothing else
    python tools/segment_folder.py my/images --fit --objects --out out            # foreground objects
    python tools/segment_folder.py my/images --fit --examples my/examples --out out   # from a few images with masks
    python tools/segment_folder.py my/images --checkpoint fitted.pth --out out --overlay --sheet

`--fit` needs no label, no list and no config: it fits on the images, keeps the model in out/fitted.pth, and writes
label maps, overlays and out/clusters.html, a page on which a person names clusters, picks colours, merges and hides
them, and saves out/names.yaml. Run again: pictures, legend and exports follow, and clusters of one name are one. A
second run segments only images that are new or have changed, with the model of the first.
"""

import argparse
import os
from pathlib import Path

from leopart_mm.cli import OptionAction, announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Segment images with a fitted model, or fit one on them first.')
    parser.add_argument('images', nargs='+', help='folder (searched with its sub-folders) or image files')
    parser.add_argument('--out', required=True, type=Path, help='folder for label maps and pictures')
    parser.add_argument('--checkpoint', help='fitted model (tools/test.py --save-fitted); with --fit, the network of a '
                        'training run (tools/train.py)')
    parser.add_argument('--config', help='config file (default: the one in the checkpoint; with --fit, chosen by '
                        '--clusters, --objects and --examples)')
    parser.add_argument('--device', help="such as cuda:1 or cpu (default: a GPU if there is one)")
    fit = parser.add_argument_group('fitting on the images')
    fit.add_argument('--fit', action='store_true', help='fit on these images first; implies --overlay and --sheet')
    what = fit.add_mutually_exclusive_group()
    what.add_argument('--clusters', type=int, metavar='K', help='K clusters of all that there is (default: 30)')
    what.add_argument('--objects', action='store_true',
                      help='objects only: foreground, clusters of parts, and communities of parts')
    what.add_argument('--examples', metavar='DIR',
                      help='classes of a few images with masks: a.jpg and beside it a.png (or a_mask.png), or folders '
                      'images and masks, or JPEGImages and SegmentationClass; masks of colours need a legend.txt with '
                      'lines such as "road 128 64 128"')
    fit.add_argument('--backbone', metavar='SOURCE',
                     help='weights of the network: timm://NAME.TAG, hf-hub:..., a URL, or a file with --arch (default: '
                     "DINO's ViT-S/16 of timm, 87 MB)")
    fit.add_argument('--arch', metavar='NAME', help="timm's name of the network in a file, best with the tag of its "
                     'weights, by which its colour statistics are known')
    fit.add_argument('--cfg-options', nargs='+', action=OptionAction, metavar='KEY=VALUE', default={},
                     help='further options of the config, such as mean=[127.5,127.5,127.5]')
    parser.add_argument('--segments', choices=('smooth', 'blocks'), default='smooth',
                        help='outlines: smooth ones for people (default), or labels of whole patches as in published '
                        'numbers')
    parser.add_argument('--crf', action='store_true',
                        help='draw outlines to the edges of the images by a dense CRF (about a second per image)')
    parser.add_argument('--tile-size', type=int, metavar='PIXELS',
                        help='cut larger images into tiles of this size, which shows more detail (default: --max-side)')
    parser.add_argument('--overlap', type=int, metavar='PIXELS', help='overlap of tiles (default: a quarter)')
    parser.add_argument('--max-side', type=int, default=2048, metavar='PIXELS',
                        help='longest side that is segmented as a whole; larger images are cut into tiles of this '
                        'size (default: 2048)')
    parser.add_argument('--names', metavar='FILE',
                        help='names and colours of clusters, YAML or JSON (default: OUT/names.yaml if it exists)')
    parser.add_argument('--overlay', action='store_true', help='also write the images painted with their clusters')
    parser.add_argument('--sheet', action='store_true',
                        help='also write clusters.html, the page that names clusters, and sheet.png, their examples')
    parser.add_argument('--parts', action='store_true',
                        help='of a model with communities, the clusters before they are merged; the sheet names the '
                        'community of each')
    parser.add_argument('--export', nargs='+', metavar='FORMAT', default=[],
                        choices=['coco', 'cvat', 'label_studio', 'geojson', 'geotiff'],
                        help='also write OUT/exports for other programs: coco, cvat, label_studio, geojson, geotiff '
                        '(tools/export_segments.py DIR does it later, with --background, --whole, --min-area)')
    parser.add_argument('--overwrite', action='store_true',
                        help='segment all images again, also where OUT holds the label maps of another model; with '
                        '--fit, fit again too')
    return parser


def main(args: argparse.Namespace) -> int:
    needs_fit = [f'--{name}' for name in ('clusters', 'objects', 'examples', 'backbone', 'arch', 'cfg-options')
                 if getattr(args, name.replace('-', '_'))]
    if not args.fit and needs_fit:
        raise ValueError(f'{", ".join(needs_fit)}: this is for fitting on the images; add --fit.')
    if not args.fit and args.checkpoint is None:
        raise ValueError('Name a fitted model by --checkpoint, or fit one on these images by --fit.')
    announce(f'Looking at {args.images[0]} ...' if args.fit else f'Reading {args.checkpoint} ...')
    from leopart_mm.apis.fit_folder import fit_folder, plan_fit
    from leopart_mm.apis.folder_run import FolderRun
    from leopart_mm.apis.image_inputs import list_images
    from leopart_mm.apis.inferencer import LeopartInferencer
    from leopart_mm.compat import tune_cpu_allocator
    from leopart_mm.evaluation.label_free import NO_SCORE, in_words
    from leopart_mm.exports import export_folder, refresh_exports
    from leopart_mm.files import printable
    from leopart_mm.masks.crf import CRFSettings
    tune_cpu_allocator()
    checkpoint, config, names = (path and os.path.expanduser(path) for path in (args.checkpoint, args.config,
                                                                                args.names))
    inputs = args.images[0] if len(args.images) == 1 else args.images
    stream = None
    if args.fit:
        plan = plan_fit(inputs, args.out, args.backbone, checkpoint, args.arch, args.clusters, args.objects,
                        args.examples, config, args.cfg_options)
        announce(f'{len(plan.images.images)} images. Fitting ...')
        checkpoint, stream = fit_folder(plan, args.out, args.overwrite)
        config, images = None, plan.images
    else:
        images = list_images(inputs)  # before OUT is touched
    inferencer = LeopartInferencer(checkpoint, config, names, args.device, args.tile_size, args.overlap,
                                   args.max_side, args.parts, args.segments, CRFSettings() if args.crf else None)
    if stream is not None and not args.parts and args.device is None:
        inferencer.read_from(stream)
    run = FolderRun(inferencer, args.out, args.overlay or args.fit, args.sheet or args.fit, args.overwrite,
                    read_names=names is None)
    report = run.run(images)
    if stream is not None:
        stream.close()
    if run.num_present:
        print(f'{run.num_present} label maps existed already (--overwrite makes them again).')
    print(f'{report.summary()} See {printable(run.out)}.')
    segmented = report.num_done + run.num_present
    if args.fit and segmented:
        print(f'{in_words(run.description, segmented, inferencer.num_clusters)} {NO_SCORE}')
    if args.export and segmented:
        print(export_folder(run.out, args.export, names).summary())
    if segmented:
        for again in refresh_exports(run.out, args.export):
            print(f'Exported again, since names or label maps have changed: {again.summary()}')
    return 0 if segmented else 1


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command segments the images that are left.')
