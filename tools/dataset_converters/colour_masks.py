#!/usr/bin/env python
"""Turn masks of colours, or of 0 and 255, into label maps with class ids.

    python tools/dataset_converters/colour_masks.py masks --out SegmentationClass --colours colours.txt
    python tools/dataset_converters/colour_masks.py masks --out SegmentationClass --binary
    python tools/dataset_converters/colour_masks.py masks --find            # which colours are there?

A line of colours.txt is a class, in the order of the ids: a name and its colour, `road 128 64 128` or `road #804080`;
the name `ignore` gives the id 255. A meta.json with "classes" and "palette" will do as well. Beside the label maps
lies a meta.json with names and colours, which VOCLayoutDataset reads from its data_root. What is converted already is
left alone, so that an interrupted run resumes.
"""

import argparse

from leopart_mm.cli import announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('masks', help='folder of masks')
    parser.add_argument('--out', help='folder to write label maps to')
    rule = parser.add_mutually_exclusive_group(required=True)
    rule.add_argument('--colours', help='text file or meta.json with names and colours')
    rule.add_argument('--binary', action='store_true', help='0 is background, everything else (255) is foreground')
    rule.add_argument('--find', action='store_true', help='list the colours that occur, and write nothing')
    parser.add_argument('--unknown', choices=('error', 'ignore'), default='error',
                        help='what to do with other colours: stop (default), or the id 255')
    parser.add_argument('--workers', type=int, default=4, help='threads (4)')
    return parser


def main(args: argparse.Namespace) -> None:
    announce(f'Reading {args.masks} ...')
    from leopart_mm.datasets.converters.colour_masks import convert_colours, list_colours
    if args.find:
        list_colours(args.masks)
    elif not args.out:
        raise ValueError('--out, the folder for the label maps, is missing.')
    else:
        convert_colours(args.masks, args.out, None if args.binary else args.colours, args.unknown, args.workers)


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command makes what is left.')
