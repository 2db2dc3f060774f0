#!/usr/bin/env python
"""Take segments to other programs: `python tools/export_segments.py DIR --to coco geojson geotiff`.

    python tools/segment_folder.py my/images --checkpoint fitted.pth --out DIR     # makes DIR
    python tools/export_segments.py DIR --to coco --min-area 100                   # writes DIR/exports/coco.json

    coco           COCO JSON with run lengths, for pycocotools, mmdet, FiftyOne, Roboflow
    cvat           labels.json (a task's labels, "Raw") and coco.zip (import it as "COCO 1.0")
    label_studio   tasks.json (brush masks as predictions) and interface.xml
    geojson        polygons: longitude and latitude, or pixels of images without a CRS
    geotiff        label maps with the CRS and transform of their images

Names, colours, merged and hidden clusters are those of DIR/names.yaml. geojson and geotiff need rasterio
(pip install 'leopart_mm[geo]').
"""

import argparse
import os

from leopart_mm.cli import announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', metavar='DIR', help='output folder of tools/segment_folder.py')
    parser.add_argument('--to', nargs='+', required=True, metavar='FORMAT',
                        choices=['coco', 'cvat', 'label_studio', 'geojson', 'geotiff'],
                        help='formats: coco, cvat, label_studio, geojson, geotiff')
    parser.add_argument('--names', metavar='FILE', help='naming file (default: DIR/names.yaml, if it exists)')
    parser.add_argument('--whole', action='store_true',
                        help='one mask per category and image (default: one per connected part)')
    parser.add_argument('--min-area', type=int, default=1, metavar='PIXELS',
                        help='leave smaller segments out (default: 1; GeoTIFFs keep them)')
    parser.add_argument('--background', action='store_true', help='also export clusters that are marked as background')
    return parser


def main(args: argparse.Namespace) -> int:
    announce(f'Reading {args.folder} ...')
    from leopart_mm.exports import export_folder
    report = export_folder(os.path.expanduser(args.folder), args.to, args.names, args.whole, args.min_area,
                           args.background)
    print(report.summary())
    return 0


if __name__ == '__main__':
    run_tool(build_parser(), main)
