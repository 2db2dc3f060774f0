#!/usr/bin/env python
"""Print the settings of a detectron2 YAML as options of the Mask R-CNN configs, and what has no place there.

    python tools/train.py configs/maskdistill/mask-rcnn_r50_voc.py \\
        --cfg-options $(python tools/detectron2_options.py FILE)
"""

import argparse
import sys

from leopart_mm.cli import run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Print the settings of a detectron2 YAML as --cfg-options.')
    parser.add_argument('config', help='detectron2 config file (.yaml)')
    return parser


def main(args: argparse.Namespace) -> None:
    from leopart_mm.engine.detectron2_options import detectron2_options
    options, unused = detectron2_options(args.config)
    if unused:
        print('Without a place in our configs: ' + ', '.join(f'{key}={value!r}' for key, value in unused.items()),
              file=sys.stderr)
    print(' '.join(f'{key}={_text(value)}' for key, value in options.items()))


def _text(value: object) -> str:
    return str(value).replace(' ', '')


if __name__ == '__main__':
    run_tool(build_parser(), main)
