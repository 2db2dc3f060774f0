"""Colours of more than 8 bits: all their numbers, in the order red, green, blue, from every kind of file."""

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from leopart_mm.datasets import ImageReadError, UnlabelledImages, read_image
from leopart_mm.datasets.deep_colour import upright
from leopart_mm.datasets.image_reading import read_numbers
from leopart_mm.datasets.value_range import measure_value_range

# A step of one in red, which the upper bytes do not show; green and blue far from it.
RED = 1000 + np.arange(12).reshape(3, 4)
RGB = np.stack([RED, np.full((3, 4), 20001), np.full((3, 4), 40003)], 2).astype(np.uint16)
RGBA = np.dstack([RGB, np.full((3, 4), 65535, np.uint16)])
ALPHA, OTHER = (dict(photometric='rgb', extrasamples=[kind]) for kind in ('unassalpha', 'unspecified'))
BGRA = [2, 1, 0, 3]


def with_opencv(suffix, image):
    return lambda path: path.write_bytes(cv2.imencode(suffix, image)[1])


def tiff(image, **options):
    return lambda path: tifffile.imwrite(path, image, **dict(dict(photometric='rgb'), **options))


FILES = {
    'a.png': with_opencv('.png', RGB[..., ::-1]),
    'alpha.png': with_opencv('.png', RGBA[..., BGRA]),
    'a.ppm': lambda path: path.write_bytes(b'P6\n4 3\n65535\n' + RGB.astype('>u2').tobytes()),
    'lzw.tif': with_opencv('.tif', RGB[..., ::-1]),
    'lzw_alpha.tif': with_opencv('.tif', RGBA[..., BGRA]),
    'plain.tif': tiff(RGB),
    'zip.tif': tiff(RGB, compression='zlib'),
    'big_endian.tif': tiff(RGB, byteorder='>'),
    'alpha.tif': tiff(RGBA, **ALPHA),
    'planes.tif': tiff(np.moveaxis(RGB, 2, 0), planarconfig='separate'),
    'float.tif': tiff(RGB.astype(np.float32)),
    'float_alpha.tif': tiff(RGBA.astype(np.float32), **ALPHA),
    'float_planes.tif': tiff(np.moveaxis(RGB.astype(np.float64), 2, 0), planarconfig='separate'),
}


@pytest.mark.parametrize('name', FILES)
def test_all_numbers_in_order(name, tmp_path):
    FILES[name](tmp_path / name)
    numbers, nodata = read_numbers(tmp_path / name)
    np.testing.assert_array_equal(numbers[..., :3], RGB)
    assert nodata is None
    value_range = 1000, 1011  # of red: each step is seen, which the upper bytes would lose
    red = np.rint(np.arange(12) * 255 / 11).reshape(3, 4)
    found = read_image(tmp_path / name, 'rgb', value_range)
    np.testing.assert_array_equal(found[..., 0], red)
    np.testing.assert_array_equal(read_image(tmp_path / name, 'bgr', value_range), found[..., ::-1])
    if RGB.dtype == numbers.dtype:  # as grey of 16 bits: 65535 becomes 255
        np.testing.assert_array_equal(read_image(tmp_path / name, 'rgb'), np.rint(RGB / 257))


@pytest.mark.parametrize('name', ['near_infrared.tif', 'float_near_infrared.tif'])
def test_a_fourth_band_that_is_no_alpha_is_kept(name, tmp_path):
    tifffile.imwrite(tmp_path / name, RGBA.astype(np.float32 if 'float' in name else np.uint16), **OTHER)
    np.testing.assert_array_equal(read_numbers(tmp_path / name)[0], RGBA)
    found = read_image(tmp_path / name, 'rgb', (0, 65535))
    np.testing.assert_array_equal(found[0, 0], np.rint(RGB[0, 0] / 257))


def test_a_data_set_of_them_has_one_range(tmp_path):
    for name in ('a.png', 'lzw.tif', 'alpha.tif'):
        FILES[name](tmp_path / name)
    assert measure_value_range([str(tmp_path / 'a.png')]) == (1000.17, 40003)  # 0.5 % of 36 numbers
    images = UnlabelledImages(str(tmp_path), pipeline=[dict(type='leopart_mm.LoadImage')])
    assert [images[index]['img'][2, 3].tolist() for index in range(3)] == [[255, 124, 0]] * 3


def test_missing_numbers(tmp_path):
    image = RGB.astype(np.float32)
    image[0] = -1
    tifffile.imwrite(tmp_path / 'a.tif', image, photometric='rgb', extratags=[(42113, 's', 0, '-1', True)])
    assert read_numbers(tmp_path / 'a.tif')[1] == -1
    assert (read_image(tmp_path / 'a.tif', value_range=(-1000, 65535))[0] == 0).all()


@pytest.mark.parametrize('orientation', range(1, 9))
def test_upright(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    grey = Image.fromarray((RGB[..., 0] - 1000).astype(np.uint8))
    grey.save(tmp_path / 'grey.png', exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / 'grey.png')))  # Pillow's
    np.testing.assert_array_equal(upright(RGB[..., 0] - 1000, orientation), expected)
    tag = [(274, 'H', 1, orientation, True)]
    tifffile.imwrite(tmp_path / 'a.tif', RGB, photometric='rgb', extratags=tag)
    np.testing.assert_array_equal(read_numbers(tmp_path / 'a.tif')[0][..., 0] - 1000, expected)
    # What reads TIFFs whose compression tifffile does not know turns them itself.
    opencv = cv2.imdecode(np.fromfile(tmp_path / 'a.tif', np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(opencv[..., 2] - 1000, expected)


def test_turned_png(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB.astype(np.uint8)).save(tmp_path / '8.png', exif=exif)
    content = cv2.imencode('.png', RGB[..., ::-1])[1].tobytes()
    small = (tmp_path / '8.png').read_bytes()
    start = small.index(b'eXIf') - 4
    chunk = small[start:start + 12 + int.from_bytes(small[start:start + 4], 'big')]
    (tmp_path / '16.png').write_bytes(content[:33] + chunk + content[33:])  # behind the header
    np.testing.assert_array_equal(read_numbers(tmp_path / '16.png')[0], np.rot90(RGB, -1))


@pytest.mark.parametrize('name', ['a.png', 'lzw.tif', 'plain.tif', 'planes.tif', 'float.tif'])
def test_a_file_cut_off_is_an_error(name, tmp_path):
    FILES[name](tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-30])
    with pytest.raises(ImageReadError, match='cut off'):
        read_image(tmp_path / name)


@pytest.mark.parametrize('bands', [3, 4])
def test_jpeg_2000(bands, tmp_path):
    deep = np.tile(RGBA, (16, 12, 1))  # the encoder takes no smaller ones
    lossless = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]
    content = cv2.imencode('.jp2', deep[..., BGRA[:bands]], lossless)[1].tobytes()
    file = tmp_path / 'a.jp2'
    file.write_bytes(content)
    np.testing.assert_array_equal(read_numbers(file)[0], deep[..., :3])
    assert measure_value_range([str(file)]) == (1000, 40003)
    stream = content[content.index(b'\xff\x4f\xff\x51'):]  # without the boxes around it
    (tmp_path / 'a.j2k').write_bytes(stream)
    np.testing.assert_array_equal(read_numbers(tmp_path / 'a.j2k')[0], deep[..., :3])
    file.write_bytes(content[:len(content) // 2])
    with pytest.raises(ImageReadError, match='cut off'):
        read_image(file)


def test_jpeg_2000_of_bytes_stays(tmp_path):
    bytes_only = np.tile(RGB.astype(np.uint8), (16, 12, 1))
    Image.fromarray(bytes_only).save(tmp_path / 'a.jp2')
    found = read_numbers(tmp_path / 'a.jp2')[0]
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, bytes_only)
    assert measure_value_range([str(tmp_path / 'a.jp2')]) is None


def test_jpeg_2000_that_pillow_does_not_know(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    deep = np.tile(RGB, (16, 12, 1))
    with rasterio.open(tmp_path / 'a.jp2', 'w', driver='JP2OpenJPEG', width=48, height=48, count=3,
                       dtype='uint16') as file:
        file.write(np.moveaxis(deep, 2, 0))
    with pytest.raises(ImageReadError, match=r'gdal_translate FILE a\.tif makes a TIFF of it'):
        read_image(tmp_path / 'a.jp2')
