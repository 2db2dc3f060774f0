"""Cut ISPRS Potsdam's tiles into the crops of Potsdam-3."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from leopart_mm.datasets.conversion import ConversionError, begin_conversion, write_mask
from leopart_mm.datasets.converters.colour_masks import read_picture, to_ids
from leopart_mm.datasets.label_tables import POTSDAM3, label_table, map_ids
from leopart_mm.files import write_text_whole
from leopart_mm.progress import progress

FOLDERS = 'images', 'annotations'
CUT, SIDE = 400, 200  # pixels of a tile, and of the crop that they become
COLOURS = dict(impervious=(255, 255, 255), building=(0, 0, 255), low_vegetation=(0, 255, 255), tree=(0, 255, 0),
               car=(255, 255, 0), clutter=(255, 0, 0))
# The tiles whose labels ISPRS published last, its test set; the other 24 are for training.
TEST_TILES = {'2_13', '2_14', '3_13', '3_14', '4_13', '4_14', '4_15', '5_13', '5_14', '5_15', '6_13', '6_14', '6_15',
              '7_13'}


def find_tiles(root: Path) -> dict[str, tuple[Path, Path]]:
    """Number of a tile, '2_10' -> its image and its labels.

    Raises:
        ConversionError: If a tile has no labels.
    """
    tiles = {}
    for image in sorted(root.rglob('top_potsdam_*_RGB.tif')):
        name = image.name.removesuffix('_RGB.tif')
        labels = next(iter(sorted(root.rglob(f'{name}_label.tif'))), None)
        if labels is None:
            raise ConversionError(f'{image} has no labels: {name}_label.tif is not in {root}. Unpack ISPRS\' '
                                  '5_Labels_all.zip there.')
        tiles[name.removeprefix('top_potsdam_')] = image, labels
    return tiles


def cut_tiles(tiles: dict[str, tuple[Path, Path]], out: Path, workers: int = 4) -> None:
    """Write images, masks and lists of all crops: 15 x 15 of a tile of 6000 x 6000, at half of its resolution.

    A tile whose crops are all there is finished, so that an interrupted run resumes; other tiles start anew.

    Args:
        tiles: Of `find_tiles`.
        out: Folder to write to.
        workers: Number of threads that write PNGs.

    Raises:
        ConversionError: If image and labels have other sizes, a tile is smaller than a crop, or a colour has no class.
    """
    lists: dict[str, list[str]] = dict(labelled_train=[], labelled_test=[])
    state = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for files in tiles.values() for file in files]
    begin_conversion(out, json.dumps(state), [file for folder in FOLDERS for file in (out / folder).glob('*.png')])
    written = 0
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        for number, (image_file, label_file) in progress(tiles.items(), 'Potsdam tiles', len(tiles)):
            with Image.open(image_file) as header:
                columns, rows = header.size[0] // CUT, header.size[1] // CUT
            names = [f'{number}_{row:02d}_{column:02d}' for row in range(rows) for column in range(columns)]
            if not names:
                raise ConversionError(f'{image_file} is smaller than a crop of {CUT} x {CUT} pixels.')
            lists['labelled_test' if number in TEST_TILES else 'labelled_train'] += names
            if all((out / folder / f'{name}.png').is_file() for name in names for folder in FOLDERS):
                continue
            crops = _crops(image_file, label_file, rows, columns)
            list(pool.map(lambda item: _write(out, *item), zip(names, crops, strict=True)))
            written += len(names)
    for name, members in lists.items():
        write_text_whole(out / f'{name}.txt', ''.join(f'{member}\n' for member in members))
    print(f'{out}: {len(lists["labelled_train"])} training and {len(lists["labelled_test"])} test crops, {written} of '
          'them new.')


def _crops(image_file: Path, label_file: Path, rows: int, columns: int) -> list[tuple[np.ndarray, np.ndarray]]:
    image, labels = read_picture(image_file), read_picture(label_file)
    if image.shape != labels.shape:
        raise ConversionError(f'{image_file} and {label_file} have other sizes: {image.shape[:2]} and '
                              f'{labels.shape[:2]} pixels.')
    classes = map_ids(to_ids(labels, COLOURS, 'error', str(label_file)), label_table(POTSDAM3), str(label_file))
    size = columns * SIDE, rows * SIDE
    image = np.asarray(Image.fromarray(image[:rows * CUT, :columns * CUT]).resize(size, Image.Resampling.BILINEAR))
    classes = np.asarray(Image.fromarray(classes[:rows * CUT, :columns * CUT]).resize(size, Image.Resampling.NEAREST))
    places = [(slice(row * SIDE, (row + 1) * SIDE), slice(column * SIDE, (column + 1) * SIDE))
              for row in range(rows) for column in range(columns)]
    return [(image[place], classes[place]) for place in places]


def _write(out: Path, name: str, crop: tuple[np.ndarray, np.ndarray]) -> None:
    for folder, pixels in zip(FOLDERS, crop, strict=True):
        write_mask(out / folder / f'{name}.png', np.ascontiguousarray(pixels))
