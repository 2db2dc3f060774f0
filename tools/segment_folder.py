#!/usr/bin/env python
"""Segment images with a fitted model: `python tools/segment_folder.py IMAGES --checkpoint FITTED --out DIR`.

    python tools/test.py CONFIG CHECKPOINT --save-fitted fitted.pth               # makes the fitted model
    python tools/segment_folder.py my/images --checkpoint fitted.pth --out out --overlay --sheet

The first run writes out/names.yaml. Edit names and colours there and run again: pictures, legend and sheet then show
them, and clusters of one name as one. A second run segments only images that are new or have changed.
"""

import argparse
import os
from pathlib import Path

from leopart_mm.cli import announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Segment images with a fitted model.')
    parser.add_argument('images', nargs='+', help='folder (searched with its sub-folders) or image files')
    parser.add_argument('--checkpoint', required=True, help='fitted model (tools/test.py --save-fitted)')
    parser.add_argument('--out', required=True, type=Path, help='folder for label maps and pictures')
    parser.add_argument('--config', help='config file (default: the one in the checkpoint)')
    parser.add_argument('--device', help="such as cuda:1 or cpu (default: a GPU if there is one)")
    parser.add_argument('--tile-size', type=int, metavar='PIXELS',
                        help='cut larger images into tiles of this size, which shows more detail (default: --max-side)')
    parser.add_argument('--overlap', type=int, metavar='PIXELS', help='overlap of tiles (default: a quarter)')
    parser.add_argument('--max-side', type=int, default=2048, metavar='PIXELS',
                        help='longest side that is segmented as a whole; larger images are cut into tiles of this '
                        'size (default: 2048)')
    parser.add_argument('--names', metavar='FILE',
                        help='names and colours of clusters, YAML or JSON (default: OUT/names.yaml if it exists)')
    parser.add_argument('--overlay', action='store_true', help='also write the images painted with their clusters')
    parser.add_argument('--sheet', action='store_true', help='also write a sheet with examples of every cluster')
    parser.add_argument('--parts', action='store_true',
                        help='of a model with communities, the clusters before they are merged; the sheet names the '
                        'community of each')
    parser.add_argument('--overwrite', action='store_true',
                        help='segment all images again, also where OUT holds the label maps of another model')
    return parser


def main(args: argparse.Namespace) -> int:
    announce(f'Reading {args.checkpoint} ...')
    from leopart_mm.apis.folder_run import FolderRun
    from leopart_mm.apis.image_inputs import list_images
    from leopart_mm.apis.inferencer import LeopartInferencer
    from leopart_mm.compat import tune_cpu_allocator
    from leopart_mm.files import printable
    tune_cpu_allocator()
    checkpoint, config, names = (path and os.path.expanduser(path) for path in (args.checkpoint, args.config,
                                                                                args.names))
    inferencer = LeopartInferencer(checkpoint, config, names, args.device, args.tile_size, args.overlap,
                                   args.max_side, args.parts)
    images = list_images(args.images[0] if len(args.images) == 1 else args.images)  # before OUT is touched
    run = FolderRun(inferencer, args.out, args.overlay, args.sheet, args.overwrite, read_names=names is None)
    report = run.run(images)
    if run.num_present:
        print(f'{run.num_present} label maps existed already (--overwrite makes them again).')
    print(f'{report.summary()} See {printable(run.out)}.')
    return 0 if report.num_done or run.num_present else 1


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command segments the images that are left.')
