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
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leopart_mm.datasets.conversion import ConversionError, convert_masks, require
from leopart_mm.datasets.file_lists import find_files, read_lines
from leopart_mm.datasets.image_reading import IMAGE_SUFFIXES, ImageReadError, read_image
from leopart_mm.files import shorten, write_text_whole
from leopart_mm.progress import progress

IGNORE = 255
BINARY = {'background': (0, 0, 0), 'foreground': (255, 255, 255)}


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
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
    return parser.parse_args(argv)


def read_colours(path: Path) -> dict[str, tuple[int, int, int]]:
    """Name -> colour, in the order of the class ids."""
    if path.suffix == '.json':
        meta = json.loads(path.read_text(encoding='utf-8-sig'))
        return {name: tuple(colour) for name, colour in zip(meta['classes'], meta['palette'], strict=True)}
    colours = {}
    for line in read_lines(path):
        fields = line.replace(',', ' ').split()
        digits = fields[-1].lstrip('#') if fields[-1].startswith('#') else ''
        try:
            if digits:
                name, colour = fields[:-1], tuple(bytes.fromhex(digits))
            else:
                name, colour = fields[:-3], tuple(int(value) for value in fields[-3:])
        except ValueError:
            name, colour = [], ()
        if not name or len(colour) != 3 or not all(0 <= value <= 255 for value in colour):
            raise ConversionError(f'{path}: the line {line!r} is no name with a colour, such as "road 128 64 128".')
        colours[' '.join(name)] = colour
    return colours


def codes(image: np.ndarray) -> np.ndarray:
    """(h, w) R * 65536 + G * 256 + B of a picture (h, w, 3)."""
    return image.astype(np.int64) @ np.array([65536, 256, 1])


def read_picture(path: Path) -> np.ndarray:
    """(h, w, 3) uint8 RGB, palettes resolved.

    Raises:
        ConversionError: If it cannot be read.
    """
    try:
        return read_image(path, 'rgb')
    except ImageReadError as error:
        raise ConversionError(f'{error} Fetch it again.') from error


def to_ids(image: np.ndarray, colours: dict[str, tuple[int, int, int]], unknown: str, name: str) -> np.ndarray:
    """Class ids (h, w) uint8 of a picture.

    Raises:
        ConversionError: If a colour has no class and `unknown` is 'error'.
    """
    names = [label for label in colours if label != 'ignore']
    table = {int(codes(np.uint8([[colours[label]]]))[0, 0]): number for number, label in enumerate(names)}
    if 'ignore' in colours:
        table[int(codes(np.uint8([[colours['ignore']]]))[0, 0])] = IGNORE
    found, inverse = np.unique(codes(image), return_inverse=True)
    unlisted = [f'#{code:06x}' for code in found.tolist() if code not in table]
    if unlisted and unknown == 'error':
        raise ConversionError(f'{name} holds colours without a class: {shorten(unlisted)}. Add them to the list of '
                              'colours (--find lists all), or pass --unknown ignore. Many near colours mean that the '
                              'mask was saved as JPEG or resized smoothly: take the original.')
    ids = np.array([table.get(code, IGNORE) for code in found.tolist()], np.uint8)
    return ids[inverse].reshape(image.shape[:2])


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    folder = require(args.masks, 'The folder of masks', 'Give the folder that holds them.')
    files = [Path(path) for path in find_files(folder, IMAGE_SUFFIXES)]
    if not files:
        raise ConversionError(f'{folder} holds no picture.')
    if args.find:
        counts: Counter = Counter()
        for path in progress(files, 'Looking for colours', len(files)):
            found, number = np.unique(codes(read_picture(path)), return_counts=True)
            counts.update(dict(zip(found.tolist(), number.tolist(), strict=True)))
        for code, number in counts.most_common():
            print(f'#{code:06x}  {number / counts.total():8.3%} of the pixels')
        return
    if not args.out:
        raise ConversionError('--out, the folder for the label maps, is missing.')
    out = Path(args.out).expanduser()
    colours = BINARY if args.binary else read_colours(require(args.colours, 'The list of colours', ''))
    if len(colours) > IGNORE:
        raise ConversionError(f'{len(colours)} classes do not fit into 8-bit label maps.')

    def convert(path: Path) -> np.ndarray:
        image = read_picture(path)
        if args.binary:
            return (codes(image) != 0).astype(np.uint8)
        return to_ids(image, colours, args.unknown, str(path))

    targets = {out / path.relative_to(folder).with_suffix('.png'): path for path in files}
    written = convert_masks(targets, convert, 'Colours to ids', args.workers)
    names = [name for name in colours if name != 'ignore']
    meta = dict(classes=names, palette=[list(colours[name]) for name in names], ignore_index=IGNORE)
    write_text_whole(out / 'meta.json', json.dumps(meta, indent=1) + '\n')
    print(f'{out}: {len(files)} label maps of {len(names)} classes, {written} new. Put meta.json into the data_root.')


if __name__ == '__main__':
    try:
        main()
    except ConversionError as error:
        raise SystemExit(f'error: {error}') from None
