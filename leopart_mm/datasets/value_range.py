"""One value range per data set, for images that are not of 8 bits; data sets of one run share one."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from PIL import Image

from leopart_mm.datasets.band_reading import ARRAY_SUFFIXES, TIFF_SUFFIXES, read_tiff
from leopart_mm.datasets.deep_colour import is_deep_colour
from leopart_mm.datasets.image_reading import BYTE_SUFFIXES, QUANTILES, ImageReadError, read_numbers, valid_pixels

Range = tuple[float, float]
MEASURE = 'measure'

NUM_LOOKED_AT = 32
PIXELS_PER_IMAGE = 2**16


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
            array, missing = _numbers(path)
        except Exception:  # the readers raise many kinds
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


def _numbers(path: str) -> tuple[np.ndarray, float | None]:
    with suppress(ImageReadError):
        return read_numbers(path)
    if path.lower().endswith(ARRAY_SUFFIXES):
        return np.load(path, mmap_mode='r', allow_pickle=False), None
    return read_tiff(path)  # more bands than Pillow and OpenCV know


def _spread(paths: Sequence[str]) -> list[str]:
    # sorted, each once: the same images in another order, or listed twice, have the same range
    candidates = sorted({path for path in paths if not path.lower().endswith(BYTE_SUFFIXES)})
    if not candidates:
        return []
    return [candidates[index] for index in
            sorted({round(position) for position in np.linspace(0, len(candidates) - 1, NUM_LOOKED_AT)})]


def _is_deep(path: str) -> bool:
    """Whether an image has more than 8 bits per channel, by its header."""
    try:
        with Image.open(path) as image:
            return image.mode in ('I', 'F') or image.mode.startswith('I;') or is_deep_colour(image)
    except (OSError, SyntaxError, ValueError):
        # RGB of floating point, and many bands, which Pillow does not know
        return os.path.splitext(path)[1].lower() in (*TIFF_SUFFIXES, *ARRAY_SUFFIXES)


class HasValueRange(BaseDataset):
    """A data set of images that may have more than 8 bits: `LoadImage` scales them by one range.

    Subclasses call `keep_value_range` before `full_init`, and `measure_range` when they know their images.

    Attributes:
        value_range: (low, high) that become 0 and 255; None: all images have 8 bits, or nothing is known.
        nodata: Number of missing pixels beside NaN, infinity and GDAL's tag; None: there is no such.
        range_is_given: Whether the user chose the range for this very data set, so that no other one replaces it.
    """

    value_range: Range | None = None
    nodata: float | None = None
    range_is_given = False

    def keep_value_range(self, value_range: Range | str | None, nodata: float | None) -> None:
        """Take the arguments of the data set: a range, 'measure' (its own in any case) or None (measured, shared).

        Raises:
            ValueError: If it is none of these.
        """
        if value_range is not None and value_range != MEASURE:
            if isinstance(value_range, str) or len(value_range) != 2 or not value_range[0] < value_range[1]:
                raise ValueError(f"value_range={value_range!r} must be (low, high) with low < high, or '{MEASURE}'.")
            self.value_range = float(value_range[0]), float(value_range[1])
        self.range_is_given = value_range is not None
        self.nodata = nodata

    def measure_range(self, samples: Sequence[dict]) -> None:
        """Measure the range, unless one is given."""
        if self.value_range is None:
            self.value_range = measure_value_range([sample['img_path'] for sample in samples], self.nodata)

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """The sample, with what `LoadImage` and `LoadMask` must know of its numbers."""
        info = super().get_data_info(idx)
        if self.value_range is not None or self.nodata is not None:
            info.update(value_range=self.value_range, nodata=self.nodata)
        if getattr(self, 'ignore_index', None) is not None:
            info['ignore_index'] = self.ignore_index
        return info


def parts_of(dataset: Any) -> Iterator[HasValueRange]:
    """The data sets in a data set: of a ConcatDataset each part, of a RepeatDataset what it repeats."""
    if isinstance(dataset, HasValueRange):
        yield dataset
    for inner in (*getattr(dataset, 'datasets', ()), getattr(dataset, 'dataset', None)):
        if inner is not None:
            yield from parts_of(inner)


def share_value_range(leading: Any, following: Sequence[Any] = ()) -> None:
    """Let data sets read by one range: that of `leading` (of its parts together), else of the first that has one.

    Data sets whose range is given keep it, and it is the range of those that follow without one.

    Args:
        leading: The data set that is trained or fitted on.
        following: Data sets that are tested or validated on.
    """
    first, rest = list(parts_of(leading)), [part for dataset in following for part in parts_of(dataset)]
    free = [part for part in first if not part.range_is_given]
    shared = next(((part.value_range, part.nodata) for part in first if part.range_is_given), None)
    if free and any(part.value_range is not None for part in free):
        value_range, nodata = free[0].value_range, free[0].nodata
        if len({(part.value_range, part.nodata) for part in free}) > 1:
            print_log(f'{len(free)} data sets are trained or fitted on together: they share a range.', logger='current')
            nodata = next((part.nodata for part in free if part.nodata is not None), None)
            paths = [part.get_data_info(index)['img_path'] for part in free for index in range(len(part))]
            value_range = measure_value_range(paths, nodata) or value_range
        shared = shared or (value_range, nodata)
        set_value_range(free, value_range, nodata)
    if shared is not None:
        set_value_range([part for part in rest if not part.range_is_given], *shared)


def set_value_range(parts: Sequence[HasValueRange], value_range: Range, nodata: float | None) -> None:
    """Give data sets a range; a nodata value of their own stays."""
    for part in parts:
        part.value_range = tuple(value_range)
        part.nodata = nodata if part.nodata is None else part.nodata


def differ_much(first: Range, second: Range) -> bool:
    """Whether two ranges have less than half of what either covers in common.

    >>> differ_much((0, 4000), (0, 3500)), differ_much((0, 4000), (0, 1))
    (False, True)
    """
    common = min(first[1], second[1]) - max(first[0], second[0])
    return common < 0.5 * (max(first[1], second[1]) - min(first[0], second[0]))


def noted_range(checkpoint: Any) -> tuple[Range | None, float | None]:
    """The value range and nodata that a checkpoint notes; None where it notes none."""
    meta = (checkpoint.get('meta') or {}) if isinstance(checkpoint, dict) else {}
    noted = meta.get('dataset_meta') or {}
    noted = noted if isinstance(noted, dict) else {}
    value_range = noted.get('value_range')
    return None if value_range is None else tuple(map(float, value_range)), noted.get('nodata')
