"""Images of any number of bands: files and arrays, memory-mapped where that is possible."""

import os

import numpy as np

from leopart_mm.datasets.deep_colour import tiff_nodata
from leopart_mm.datasets.image_reading import (
    ImageReadError,
    read_image,
    read_with_missing,
    scale,
    valid_pixels,
    without_data,
)
from leopart_mm.datasets.raster_windows import RasterWindows, raster_windows

ARRAY_SUFFIXES = ('.npy', )
TIFF_SUFFIXES = ('.tif', '.tiff')
ROWS_AT_ONCE = 1024


def read_bands(image: str | np.ndarray, bands: int = 3, value_range: tuple[float, float] | None = None,
               nodata: float | None = None) -> tuple[np.ndarray | RasterWindows, np.ndarray | None]:
    """An image as (H, W, bands), and a bool array (H, W) of its pixels without data, None if all have some.

    A file of three bands is 8-bit BGR, as mmcv loads it; everything else are the numbers as they are stored, for
    `prepare_bands`. `.npy` files and TIFFs without compression are memory maps, and large TIFFs of any kind
    `RasterWindows` where rasterio is installed: of a large image only the current tile is read.

    Args:
        image: A file, or an array (H, W), (H, W, C) or (C, H, W); of three bands in BGR order.
        bands: Number of bands that the network takes.
        value_range: (low, high) that become 0 and 255 in files of three bands of more than 8 bits.
        nodata: Number that means a missing pixel, beside NaN, infinity and GDAL's tag.

    Raises:
        ImageReadError: If the file cannot be read or has another number of bands.
    """
    tag, name = None, '<array>'
    if isinstance(image, str):
        name, suffix = image, os.path.splitext(image)[1].lower()
        windows = raster_windows(image, bands, value_range, nodata) if suffix in TIFF_SUFFIXES else None
        if windows is not None:
            return windows, windows.missing()
        if bands == 3 and suffix not in ARRAY_SUFFIXES:
            return read_with_missing(image, value_range=value_range, nodata=nodata)
        array, tag = _read_array(image, suffix)
    else:
        array = image
    array = bands_last(array, bands, name)
    return array, missing_pixels(array, [tag, nodata])


def load_image(image: str | np.ndarray, bands: int = 3, value_range: tuple[float, float] | None = None) -> np.ndarray:
    """The image of `read_bands`."""
    return read_bands(image, bands, value_range)[0]


def missing_pixels(array: np.ndarray, numbers: list[float | None]) -> np.ndarray | None:
    """(H, W) bool: pixels of (H, W, C) without data; None if all have some. Few rows are in memory at a time."""
    if array.dtype.kind != 'f' and all(number is None for number in numbers):
        return None
    missing = np.zeros(array.shape[:2], bool)
    for start in range(0, len(array), ROWS_AT_ONCE):
        rows = without_data(valid_pixels(np.asarray(array[start:start + ROWS_AT_ONCE]), numbers))
        if rows is not None:
            missing[start:start + ROWS_AT_ONCE] = rows
    return missing if missing.any() else None


def prepare_bands(array: np.ndarray, missing: np.ndarray | None, value_range: tuple[float, float] | None) -> np.ndarray:
    """(H, W, C) numbers as a network takes them: float32, in 0..255 by the range if there is one, 0 without data."""
    if array.dtype == np.uint8:
        return array
    valid = np.isfinite(array) if array.dtype.kind == 'f' else np.ones(array.shape, bool)
    if missing is not None:
        valid[missing] = False
    if value_range is not None:
        return scale(array, value_range, valid).astype(np.float32)
    return np.where(valid, array, 0).astype(np.float32)


def bands_last(array: np.ndarray, bands: int, name: str) -> np.ndarray:
    """(H, W), (H, W, C) or (C, H, W) to a view (H, W, bands); a grey image is repeated over three bands.

    Raises:
        ImageReadError: If the number of bands or axes is another one, or there is no pixel, or no real number.
    """
    if array.dtype.kind not in 'buif' or array.size == 0:
        raise ImageReadError(name, f'it holds {array.dtype} values of shape {array.shape}, no picture')
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim == 3:
        if array.shape[2] == bands:
            return array
        if array.shape[0] == bands:
            return np.moveaxis(array, 0, 2)
        if bands == 3 and array.shape[2] == 1:
            return np.broadcast_to(array, (*array.shape[:2], 3))
        if bands == 3 and array.shape[2] == 4:
            return array[..., :3]
    raise ImageReadError(name, f'its shape is {array.shape}, but the network takes {bands} bands')


def _read_array(path: str, suffix: str) -> tuple[np.ndarray, float | None]:
    """The numbers of a file, and its nodata value."""
    if os.path.getsize(path) == 0:
        raise ImageReadError(path, 'the file is empty (0 bytes)')
    try:
        if suffix in ARRAY_SUFFIXES:
            return np.load(path, mmap_mode='r', allow_pickle=False), None
        if suffix in TIFF_SUFFIXES:
            return read_tiff(path)
    except Exception as error:  # the readers raise many kinds
        raise ImageReadError(path, f'damaged, cut off or no image ({error})') from error
    return read_image(path, 'rgb'), None


def read_tiff(path: str) -> tuple[np.ndarray, float | None]:
    """The numbers of a TIFF of any number of bands, and its nodata value."""
    import tifffile
    with tifffile.TiffFile(path) as file:
        tag = tiff_nodata(file.pages[0])
    try:
        return tifffile.memmap(path, mode='r'), tag
    except ValueError:  # compressed
        return tifffile.imread(path), tag
