"""Large GeoTIFFs, of which only the windows that are asked for are in memory."""

import os
import warnings
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from leopart_mm.datasets.image_reading import ImageReadError, image_size, scale, valid_pixels, without_data

WHOLE_PIXELS = 2**24  # smaller images are read as a whole
ROWS_AT_ONCE = 1024
CACHE_MIB = 128  # GDAL takes a twentieth of the memory otherwise
ORIENTATION = 274
PLAIN = ('red', 'green', 'blue', 'gray', 'alpha', 'undefined')


def import_rasterio() -> ModuleType:
    """rasterio, with bounded memory for its cache.

    Raises:
        ImportError: If it is not installed; the message says how to get it.
    """
    try:
        import rasterio
    except ImportError as error:
        raise ImportError("Georeferenced images need rasterio, which is not installed: pip install 'leopart_mm[geo]'"
                          ) from error
    return _prepared(rasterio)


@cache
def _prepared(rasterio: ModuleType) -> ModuleType:
    import rasterio.features
    import rasterio.warp
    import rasterio.windows
    os.environ.setdefault('GDAL_CACHEMAX', str(CACHE_MIB))  # GDAL reads it once, before its first block
    return rasterio


def open_raster(path: str | os.PathLike) -> Any:
    """`rasterio.open`, silent about files without coordinates."""
    rasterio = import_rasterio()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(path)


class RasterWindows:
    """An image (H, W, bands) in a file, read when it is indexed by slices of rows and columns.

    Args:
        raster: The open file.
        indexes: Its bands, counted from 1, in the order of the channels.
        value_range: (low, high) of the numbers that become 0 and 255; None: they are as they are stored.
        numbers: Those that mean a missing pixel, beside NaN and infinity.
        as_bytes: Give uint8, missing numbers as 0.

    Attributes: `shape`, `ndim` and `dtype`, as of an array.
    """

    ndim = 3

    def __init__(self, raster: Any, indexes: list[int], value_range: tuple[float, float] | None,
                 numbers: list[float | None], as_bytes: bool) -> None:
        self.raster = raster
        self.indexes = indexes
        self.value_range = value_range
        self.numbers = numbers
        self.as_bytes = as_bytes
        self.shape = (raster.height, raster.width, len(indexes))
        self.dtype = np.dtype(np.uint8 if as_bytes else raster.dtypes[0])

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The whole image."""
        return np.asarray(self[:], dtype)

    def __getitem__(self, key: slice | tuple[slice, slice]) -> np.ndarray:
        """(h, w, bands) of slices of rows and columns, with steps too."""
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        top, bottom, step = rows.indices(self.shape[0])
        left, right, stride = columns.indices(self.shape[1])
        parts = []
        for start in range(top, bottom, max(ROWS_AT_ONCE // step, 1) * step):
            stop = min(start + max(ROWS_AT_ONCE // step, 1) * step, bottom)
            parts.append(self._convert(self._read(start, stop, left, right)[::step, ::stride]))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        rasterio = import_rasterio()
        window = rasterio.windows.Window(left, top, right - left, bottom - top)
        try:
            bands = sorted(set(self.indexes))
            found = self.raster.read(bands, window=window)
        except rasterio.errors.RasterioError as error:
            raise ImageReadError(self.raster.name, f'damaged or cut off ({error})') from error
        return np.moveaxis(found[[bands.index(index) for index in self.indexes]], 0, 2)

    def _convert(self, array: np.ndarray) -> np.ndarray:
        if not self.as_bytes:
            return array
        valid = valid_pixels(array, self.numbers)
        if array.dtype == np.uint8:
            return array if valid is None else np.where(valid, array, 0).astype(np.uint8)
        return np.rint(scale(array, self.value_range, valid)).astype(np.uint8)

    def missing(self) -> np.ndarray | None:
        """(H, W) bool: pixels without data; None if all have some."""
        if np.dtype(self.raster.dtypes[0]).kind != 'f' and all(number is None for number in self.numbers):
            return None
        missing = np.zeros(self.shape[:2], bool)
        for top in range(0, len(self), ROWS_AT_ONCE):
            bottom = min(top + ROWS_AT_ONCE, len(self))
            rows = without_data(valid_pixels(self._read(top, bottom, 0, self.shape[1]), self.numbers))
            if rows is not None:
                missing[top:bottom] = rows
        return missing if missing.any() else None


def raster_windows(path: str, bands: int, value_range: tuple[float, float] | None = None,
                   nodata: float | None = None) -> RasterWindows | None:
    """A large TIFF to be read in windows; None where it has to be read as a whole.

    That is: without rasterio, up to `WHOLE_PIXELS`, turned by EXIF, palettes and other colours than RGB, of three bands
    integers of more than 8 bits (as `read_image` reads them) and numbers whose range is to be found in the image
    itself, and files that rasterio does not know.

    Args:
        path: The file.
        bands: Number of bands that the network takes; of three the order is BGR, and numbers become bytes.
        value_range: (low, high) that become 0 and 255 in images of three bands of more than 8 bits.
        nodata: Number that means a missing pixel, beside NaN, infinity and GDAL's tag.
    """
    size = image_size(path)  # without rasterio, whose import takes a while
    if size is not None and size[0] * size[1] <= WHOLE_PIXELS:
        return None
    try:
        rasterio = import_rasterio()
    except ImportError:
        return None
    try:
        raster = open_raster(path)
    except (rasterio.errors.RasterioError, UnicodeError):  # rasterio takes no name that is not UTF-8
        return None
    same_type = len(set(raster.dtypes)) == 1
    if raster.width * raster.height <= WHOLE_PIXELS or not same_type or _is_turned(path):
        return None
    numbers = [raster.nodata, nodata]
    if bands != 3:
        return RasterWindows(raster, list(range(1, bands + 1)), None, numbers, False) if raster.count == bands else None
    plain = all(colour.name in PLAIN for colour in raster.colorinterp)
    kind = np.dtype(raster.dtypes[0])
    ranged = kind == np.uint8 or (kind.kind == 'f' and value_range is not None)
    if not plain or not ranged or raster.count > 4:
        return None
    return RasterWindows(raster, [3, 2, 1] if raster.count >= 3 else [1, 1, 1], value_range, numbers, True)


def _is_turned(path: str) -> bool:
    import tifffile
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags.get(ORIENTATION)
    return tag is not None and tag.value != 1
