"""Turn masks of colours, or of 0 and 255, into label maps with class ids."""

import json
from collections import Counter
from pathlib import Path

import numpy as np

from leopart_mm.datasets.conversion import ConversionError, begin_conversion, convert_masks, name_targets, require
from leopart_mm.datasets.file_lists import find_files, read_lines
from leopart_mm.datasets.image_reading import IMAGE_SUFFIXES, ImageReadError, read_image
from leopart_mm.files import shorten, write_text_whole
from leopart_mm.progress import progress

IGNORE = 255
BINARY = {'background': (0, 0, 0), 'foreground': (255, 255, 255)}



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


def find_pictures(source: str | Path) -> tuple[Path, list[Path]]:
    """The folder of masks and the pictures in it."""
    folder = require(source, 'The folder of masks', 'Give the folder that holds them.')
    files = [Path(path) for path in find_files(folder, IMAGE_SUFFIXES)]
    if not files:
        raise ConversionError(f'{folder} holds no picture.')
    return folder, files


def list_colours(source: str | Path) -> None:
    """Print the colours that occur in a folder of masks, with their shares of the pixels."""
    _, files = find_pictures(source)
    counts: Counter = Counter()
    for path in progress(files, 'Looking for colours', len(files)):
        found, number = np.unique(codes(read_picture(path)), return_counts=True)
        counts.update(dict(zip(found.tolist(), number.tolist(), strict=True)))
    for code, number in counts.most_common():
        print(f'#{code:06x}  {number / counts.total():8.3%} of the pixels')


def convert_colours(source: str | Path, target: str | Path, list_file: str | Path | None, unknown: str = 'error',
                    workers: int = 4) -> None:
    """Write a label map per mask, and meta.json with names and colours.

    Args:
        source: Folder of masks.
        target: Folder to write to.
        list_file: Text file or meta.json with names and colours; None: 0 is background, all else is foreground.
        unknown: 'error', or 'ignore': other colours become 255.
        workers: Number of threads.

    Raises:
        ConversionError: If something is missing or does not fit; the message names it.
    """
    folder, files = find_pictures(source)
    out = Path(target).expanduser()
    colours = BINARY if list_file is None else read_colours(require(list_file, 'The list of colours', ''))
    if len(colours) > IGNORE:
        raise ConversionError(f'{len(colours)} classes do not fit into 8-bit label maps.')

    def convert(path: Path) -> np.ndarray:
        image = read_picture(path)
        if list_file is None:
            return (codes(image) != 0).astype(np.uint8)
        return to_ids(image, colours, unknown, str(path))

    targets = name_targets(files, lambda path: out / path.relative_to(folder).with_suffix('.png'))
    begin_conversion(out, json.dumps(dict(colours=list(colours.items()), binary=list_file is None, unknown=unknown)),
                     [out / 'meta.json', *targets])
    written = convert_masks(targets, convert, 'Colours to ids', workers)
    names = [name for name in colours if name != 'ignore']
    meta = dict(classes=names, palette=[list(colours[name]) for name in names], ignore_index=IGNORE)
    write_text_whole(out / 'meta.json', json.dumps(meta, indent=1) + '\n')
    print(f'{out}: {len(files)} label maps of {len(names)} classes, {written} new. Put meta.json into the data_root.')
