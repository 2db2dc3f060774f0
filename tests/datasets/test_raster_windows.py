"""Windows of large TIFFs against the same images read as a whole."""

import cv2
import numpy as np
import pytest

from leopart_mm.datasets import raster_windows as module
from leopart_mm.datasets.band_reading import read_bands
from leopart_mm.datasets.image_reading import ImageReadError
from leopart_mm.datasets.raster_windows import RasterWindows

rasterio = pytest.importorskip('rasterio')
RNG = np.random.default_rng(0)


def write(path, bands, **kwargs):
    """A compressed, tiled TIFF of (C, H, W)."""
    count, height, width = bands.shape
    with rasterio.open(path, 'w', driver='GTiff', width=width, height=height, count=count, dtype=bands.dtype,
                       compress='deflate', tiled=True, blockxsize=16, blockysize=16,
                       crs='EPSG:32632', transform=rasterio.Affine(10, 0, 0, 0, -10, 0), **kwargs) as target:
        target.write(bands)
    return str(path)


def both(monkeypatch, path, *arguments):
    """An image by windows and as a whole, each with its missing pixels."""
    whole = read_bands(path, *arguments)
    monkeypatch.setattr(module, 'WHOLE_PIXELS', 100)
    monkeypatch.setattr(module, 'ROWS_AT_ONCE', 7)
    return read_bands(path, *arguments), whole


def check(windows, whole):
    """All pixels, parts, steps, and missing pixels are the same."""
    (image, missing), (expected, expected_missing) = windows, whole
    assert isinstance(image, RasterWindows)
    assert isinstance(expected, np.ndarray)
    assert (image.shape, image.dtype, image.ndim) == (expected.shape, expected.dtype, 3)
    for key in (slice(None), slice(5, 31), (slice(3, 40), slice(10, 41)), (slice(None, None, 3), slice(None, None, 3)),
                (slice(0, 1), slice(49, 50)), slice(0, 999)):
        assert np.array_equal(image[key], expected[key], equal_nan=expected.dtype.kind == 'f')
    assert np.array_equal(np.asarray(image), expected, equal_nan=expected.dtype.kind == 'f')
    assert (missing is None) == (expected_missing is None)
    assert missing is None or np.array_equal(missing, expected_missing)


@pytest.mark.parametrize(('count', 'photometric'), [(3, 'rgb'), (4, 'rgb'), (1, 'minisblack')])
def test_bytes(tmp_path, monkeypatch, count, photometric):
    path = write(tmp_path / '1.tif', RNG.integers(0, 256, (count, 43, 50), np.uint8), photometric=photometric)
    check(*both(monkeypatch, path))


def test_bytes_with_missing_pixels(tmp_path, monkeypatch):
    bands = RNG.integers(0, 3, (3, 43, 50), np.uint8)
    check(*both(monkeypatch, write(tmp_path / '1.tif', bands, photometric='rgb', nodata=1)))
    path = write(tmp_path / '2.tif', bands, photometric='rgb')
    monkeypatch.setattr(module, 'WHOLE_PIXELS', 2**24)
    check(*both(monkeypatch, path, 3, None, 2))


def test_numbers_in_a_range_become_bytes(tmp_path, monkeypatch):
    bands = RNG.integers(0, 5000, (3, 43, 50)).astype(np.float32)
    bands[:, 5] = np.nan
    path = write(tmp_path / '1.tif', bands, photometric='rgb')
    check(*both(monkeypatch, path, 3, (100., 3000.)))
    assert isinstance(read_bands(path)[0], np.ndarray)  # the range is to be found in the image


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_many_bands_are_as_they_are_stored(tmp_path, monkeypatch, dtype):
    bands = RNG.integers(0, 9, (5, 43, 50)).astype(dtype)
    path = write(tmp_path / '1.tif', bands, nodata=0, interleave='pixel', photometric='minisblack')
    check(*both(monkeypatch, path, 5))
    with pytest.raises(ImageReadError, match='the network takes 4 bands'):
        read_bands(path, 4)


def test_what_is_read_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'WHOLE_PIXELS', 100)
    cv2.imwrite(str(tmp_path / '1.png'), np.zeros((20, 20, 3), np.uint8))
    path = write(tmp_path / '2.tif', np.zeros((1, 20, 20), np.uint8), photometric='palette')
    (tmp_path / '3.tif').write_bytes(b'')
    assert isinstance(read_bands(str(tmp_path / '1.png'))[0], np.ndarray)
    assert isinstance(read_bands(path)[0], np.ndarray)
    with pytest.raises(ImageReadError, match='empty'):
        read_bands(str(tmp_path / '3.tif'))
    monkeypatch.setitem(__import__('sys').modules, 'rasterio', None)
    path = write_without_rasterio(tmp_path)
    assert isinstance(read_bands(path)[0], np.ndarray)


def write_without_rasterio(folder):
    cv2.imwrite(str(folder / '4.tif'), np.zeros((20, 20, 3), np.uint8))
    return str(folder / '4.tif')


def test_a_damaged_block_is_an_unreadable_image(tmp_path, monkeypatch):
    path = write(tmp_path / '1.tif', RNG.integers(0, 256, (3, 43, 50), np.uint8), photometric='rgb')
    content = bytearray((tmp_path / '1.tif').read_bytes())
    with rasterio.open(path) as raster:
        offset = int(raster.get_tag_item('BLOCK_OFFSET_1_1', 'TIFF', bidx=1))
    content[offset:offset + 40] = bytes(40)
    (tmp_path / '1.tif').write_bytes(content)
    monkeypatch.setattr(module, 'WHOLE_PIXELS', 100)
    with pytest.raises(ImageReadError, match='damaged or cut off'):
        np.asarray(read_bands(path)[0])
