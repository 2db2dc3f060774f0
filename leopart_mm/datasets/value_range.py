"""One value range per data set, for images that are not of 8 bits."""

import os
from collections.abc import Sequence

import numpy as np
from mmengine.logging import print_log
from PIL import Image

from leopart_mm.datasets.image_reading import QUANTILES, ImageReadError, read_numbers, valid_pixels

NUM_LOOKED_AT = 32
PIXELS_PER_IMAGE = 2**16
BYTE_SUFFIXES = ('.jpg', '.jpeg', '.jpe', '.jfif', '.webp', '.gif', '.bmp')  # never more than 8 bits


def measure_value_range(paths: Sequence[str], nodata: float | None = None) -> tuple[float, float] | None:
    """(low, high) quantiles of the numbers in some images of a data set; None if all of them have 8 bits.

    Up to 32 images, spread evenly over the list, are read; missing pixels do not count. The result is logged: one range
    for all images keeps them comparable, where a range per image would turn a dark one bright.

    Args:
        paths: All images of the data set.
        nodata: Number that means a missing pixel, beside NaN, infinity and GDAL's tag.
    """
    deep = [path for path in _spread(paths) if _is_deep(path)]
    samples = []
    for path in deep:
        try:
            array, missing = read_numbers(path)
        except (ImageReadError, OSError):
            continue  # reading the sample says what is wrong
        valid = valid_pixels(array, [missing, nodata])
        values = (array if valid is None else array[valid]).ravel()
        samples.append(values[::max(1, values.size // PIXELS_PER_IMAGE)].astype(np.float64))
    values = np.concatenate(samples) if samples else np.zeros(0)
    if not values.size:
        return None
    low, high = (float(f'{value:.6g}') for value in np.percentile(values, QUANTILES))
    if values.min() >= 0 and values.max() <= 255 and not (values % 1).any():
        low, high = 0., 255.  # bytes in a larger type
    if low == high:
        high = low + 1
    print_log(f'Images have more than 8 bits: {low:g}..{high:g} become 0..255 in all of them (measured on '
              f'{len(samples)} images). Set value_range=({low:g}, {high:g}) to keep this for other data.',
              logger='current')
    return low, high


def _spread(paths: Sequence[str]) -> list[str]:
    candidates = [path for path in paths if not path.lower().endswith(BYTE_SUFFIXES)]
    if not candidates:
        return []
    return [candidates[index] for index in
            sorted({round(position) for position in np.linspace(0, len(candidates) - 1, NUM_LOOKED_AT)})]


def _is_deep(path: str) -> bool:
    """Whether an image has more than 8 bits per channel, by its header."""
    try:
        with Image.open(path) as image:
            return image.mode in ('I', 'F') or image.mode.startswith('I;')
    except (OSError, SyntaxError, ValueError):
        return os.path.splitext(path)[1].lower() in ('.tif', '.tiff')  # 16-bit RGB, which Pillow does not know


def add_value_range(samples: Sequence[dict], value_range: tuple[float, float] | None,
                    nodata: float | None) -> tuple[float, float] | None:
    """Write the range (given or measured) and `nodata` into the samples, for `LoadImage`; returns the range."""
    if value_range is None:
        value_range = measure_value_range([sample['img_path'] for sample in samples], nodata)
    elif not value_range[0] < value_range[1]:
        raise ValueError(f'value_range={tuple(value_range)} must be (low, high) with low < high.')
    if value_range is not None:
        for sample in samples:
            sample.update(value_range=tuple(value_range), nodata=nodata)
    return value_range
