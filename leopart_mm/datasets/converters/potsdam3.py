"""Potsdam-3: crops of 200 x 200 pixels as PNG, from the published .mat files or from the tiles of ISPRS."""

import json
from pathlib import Path

import numpy as np

from leopart_mm.datasets.conversion import (
    ConversionError,
    begin_conversion,
    convert_masks,
    link_or_copy,
    require,
)
from leopart_mm.datasets.converters.potsdam_tiles import cut_tiles, find_tiles
from leopart_mm.datasets.file_lists import read_lines
from leopart_mm.datasets.label_tables import IGNORE, POTSDAM3, UNKNOWN_CHOICES, label_table, map_ids
from leopart_mm.files import shorten

SOURCE = ("It should be STEGO's potsdam folder (imgs/*.mat, gt/*.mat, labelled_train.txt, labelled_test.txt, "
          'unlabelled_train.txt) or a folder of ISPRS tiles (top_potsdam_2_10_RGB.tif and top_potsdam_2_10_label.tif).')
LISTS = ('labelled_train', 'labelled_test')
MORE_LISTS = ('unlabelled_train', )


def read_mat(path: Path, variable: str) -> np.ndarray:
    """A variable of a MATLAB file.

    Raises:
        ConversionError: If it cannot be read or has no such variable.
    """
    from scipy.io import loadmat
    try:
        content = loadmat(path)
    except Exception as error:  # the reader raises many kinds
        raise ConversionError(f'{path} cannot be read ({type(error).__name__}: {error}). Fetch it again.') from error
    if variable not in content:
        names = shorten(name for name in content if not name.startswith('__'))
        raise ConversionError(f'{path} has no variable {variable!r}, only {names or "none"}. {SOURCE}')
    return content[variable]


def read_crop(path: Path) -> np.ndarray:
    """The first three channels, RGB, of a crop: (h, w, 3) uint8."""
    image = read_mat(path, 'img')
    if image.ndim != 3 or image.shape[2] < 3 or image.dtype != np.uint8:
        raise ConversionError(f'{path} is no crop of Potsdam: img must be uint8 of shape (200, 200, 4), not '
                              f'{image.dtype} of shape {image.shape}.')
    return np.ascontiguousarray(image[..., :3])


def convert_potsdam(source: str | Path, target: str | Path, unknown: str = 'error', workers: int = 4) -> None:
    """Write images, masks and lists of Potsdam-3.

    Args:
        source: STEGO's folder of .mat files, or a folder of ISPRS tiles.
        target: Folder to write to.
        unknown: 'error', or 'ignore': ids above 5 become 255 (published).
        workers: Number of threads.

    Raises:
        ConversionError: If something is missing or does not fit; the message names it.
    """
    root, out = require(source, 'The Potsdam folder', SOURCE), Path(target).expanduser()
    if not (root / 'imgs').is_dir():
        tiles = find_tiles(root)
        if not tiles:
            raise ConversionError(f'{root} holds neither imgs/ nor a tile top_potsdam_*_RGB.tif. {SOURCE}')
        cut_tiles(tiles, out, workers)
        return
    table = label_table(POTSDAM3, unknown=UNKNOWN_CHOICES[unknown])
    lists = [require(root / f'{name}.txt', f'The list {name}.txt', SOURCE) for name in LISTS]
    lists += [root / f'{name}.txt' for name in MORE_LISTS if (root / f'{name}.txt').is_file()]
    names = list(dict.fromkeys(line for file in lists for line in read_lines(file)))
    images = {name: root / 'imgs' / f'{name}.mat' for name in names}
    missing = [path.name for path in images.values() if not path.is_file()]
    if missing:
        raise ConversionError(f'{len(missing)} of the {len(names)} listed crops are not in {root / "imgs"}: '
                              f'{shorten(missing)}. {SOURCE}')

    def convert(item: tuple[Path, Path]) -> np.ndarray:
        image, labels = item
        if not labels.is_file():  # without labels all is ignored
            return np.full(read_crop(image).shape[:2], IGNORE, np.uint8)
        return map_ids(read_mat(labels, 'gt'), table, str(labels))

    masks = {}
    for name, image in images.items():
        labels = root / 'gt' / f'{name}.mat'
        masks[out / 'annotations' / f'{name}.png'] = (labels if labels.is_file() else image, image, labels)
    written = convert_masks({out / 'images' / f'{name}.png': path for name, path in images.items()}, read_crop,
                            'Potsdam images', workers)
    begin_conversion(out / 'annotations', json.dumps(table.tolist()), masks)
    convert_masks(masks, lambda item: convert(item[1:]), 'Potsdam masks', workers)
    for file in lists:
        link_or_copy(file, out / file.name)
    print(f'{out}: {len(names)} crops, {written} of them new.')
