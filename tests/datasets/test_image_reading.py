"""Every kind of image file comes out as three upright 8-bit channels; bad files are named."""

import pickle

import cv2
import numpy as np
import pytest
from PIL import Image

from leopart_mm.datasets import ImageReadError, read_image
from leopart_mm.datasets.image_reading import decode_image
from leopart_mm.registry import TRANSFORMS


@pytest.fixture
def colour():
    """A smooth (24, 36, 3) RGB image: JPEG changes it little."""
    y, x = np.mgrid[:24, :36]
    return np.stack([x * 7, y * 10, 255 - x * 3 - y * 4], axis=-1).astype(np.uint8)


def test_jpeg_and_png_channel_order(tmp_path, colour):
    Image.fromarray(colour).save(tmp_path / 'a.png')
    Image.fromarray(colour).save(tmp_path / 'a.jpg', quality=100, subsampling=0)
    np.testing.assert_array_equal(read_image(tmp_path / 'a.png', 'rgb'), colour)
    np.testing.assert_array_equal(read_image(tmp_path / 'a.png'), colour[..., ::-1])
    assert np.abs(read_image(tmp_path / 'a.jpg', 'rgb').astype(int) - colour).max() <= 6
    np.testing.assert_array_equal(read_image(tmp_path / 'a.jpg'), cv2.imread(str(tmp_path / 'a.jpg')))


@pytest.mark.parametrize('suffix', ['png', 'tif', 'jpg'])
def test_grey(tmp_path, colour, suffix):
    grey = colour[..., 1]
    Image.fromarray(grey).save(tmp_path / f'a.{suffix}', **(dict(quality=100) if suffix == 'jpg' else {}))
    image = read_image(tmp_path / f'a.{suffix}')
    assert image.shape == (24, 36, 3)
    assert image.dtype == np.uint8
    assert (image == image[..., :1]).all()
    assert np.abs(image[..., 0].astype(int) - grey).max() <= 2


@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_sixteen_bit_grey(tmp_path, colour, suffix):
    grey = colour[..., 0].astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / f'a.{suffix}'), grey)
    np.testing.assert_array_equal(read_image(tmp_path / f'a.{suffix}')[..., 2], colour[..., 0])


@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_sixteen_bit_colour(tmp_path, colour, suffix):
    cv2.imwrite(str(tmp_path / f'a.{suffix}'), colour[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(tmp_path / f'a.{suffix}', 'rgb'), colour)


def test_alpha_is_dropped_and_palettes_resolved(tmp_path, colour):
    alpha = np.full((*colour.shape[:2], 1), 100, np.uint8)
    Image.fromarray(np.concatenate([colour, alpha], axis=2)).save(tmp_path / 'rgba.png')
    np.testing.assert_array_equal(read_image(tmp_path / 'rgba.png', 'rgb'), colour)
    palette = Image.fromarray((colour[..., 0] > 100).astype(np.uint8), mode='P')
    palette.putpalette([1, 2, 3, 40, 50, 60])
    palette.save(tmp_path / 'p.png')
    np.testing.assert_array_equal(read_image(tmp_path / 'p.png', 'rgb')[0, 0], [1, 2, 3])
    np.testing.assert_array_equal(read_image(tmp_path / 'p.png', 'rgb')[0, 35], [40, 50, 60])


@pytest.mark.parametrize('suffix', ['jpg', 'tif'])
def test_cmyk(tmp_path, colour, suffix):
    Image.fromarray(colour).convert('CMYK').save(tmp_path / f'a.{suffix}',
                                                 **(dict(quality=100) if suffix == 'jpg' else {}))
    assert np.abs(read_image(tmp_path / f'a.{suffix}', 'rgb').astype(int) - colour).max() <= 12


def test_float_tiff(tmp_path, colour):
    Image.fromarray(colour[..., 0].astype(np.float32) / 255).save(tmp_path / 'a.tif')
    np.testing.assert_array_equal(read_image(tmp_path / 'a.tif')[..., 0], colour[..., 0])


@pytest.mark.parametrize('suffix', ['jpg', 'png'])
def test_exif_orientation(tmp_path, colour, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(colour).save(tmp_path / f'a.{suffix}', exif=exif)
    image = read_image(tmp_path / f'a.{suffix}', 'rgb')
    assert np.abs(image.astype(int) - np.rot90(colour, -1)).max() <= 12


def test_bad_files_are_named(tmp_path, colour):
    (tmp_path / 'empty.jpg').write_bytes(b'')
    (tmp_path / 'text.jpg').write_text('no image')
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / 'a.jpg')
    Image.fromarray(colour).save(tmp_path / 'a.png')
    (tmp_path / 'cut.jpg').write_bytes((tmp_path / 'a.jpg').read_bytes()[:1500])
    (tmp_path / 'cut.png').write_bytes((tmp_path / 'a.png').read_bytes()[:-60])
    for name, reason in (('empty.jpg', 'empty'), ('text.jpg', 'no image'), ('cut.jpg', 'cut off'),
                         ('cut.png', 'cut off'), ('missing.jpg', 'No such file')):
        with pytest.raises(ImageReadError, match=f'{name}.*{reason}'):
            read_image(tmp_path / name)
    error = pickle.loads(pickle.dumps(ImageReadError('a.jpg', 'because')))
    assert (error.path, error.reason) == ('a.jpg', 'because')
    with pytest.raises(ValueError, match='channel_order'):
        read_image(tmp_path / 'a.jpg', 'grb')


@pytest.mark.parametrize('progressive', [False, True])
@pytest.mark.parametrize('flat', [False, True])
def test_a_jpeg_cut_in_half_that_ends_like_a_whole_one_is_named(tmp_path, progressive, flat):
    image = np.random.default_rng(0).integers(0, 255, (96, 80, 3), np.uint8)
    if flat:  # a whole photo with a flat lower half is no cut one
        image[40:] = 255
    Image.fromarray(image).save(tmp_path / 'whole.jpg', quality=90, progressive=progressive)
    content = (tmp_path / 'whole.jpg').read_bytes()
    np.testing.assert_array_equal(read_image(tmp_path / 'whole.jpg'), cv2.imread(str(tmp_path / 'whole.jpg')))
    (tmp_path / 'cut.jpg').write_bytes(content[:len(content) // 2] + b'\xff\xd9')
    with pytest.raises(ImageReadError, match=r'cut\.jpg: cut off'):
        read_image(tmp_path / 'cut.jpg')


@pytest.mark.parametrize(('mode', 'options'), [
    ('L', {}), ('RGB', {}), ('CMYK', {}), ('RGB', dict(keep_rgb=True)), ('RGB', dict(subsampling=0)),
    ('L', dict(progressive=True)), ('RGB', dict(progressive=True))])
def test_whole_jpegs_with_a_flat_corner_are_read_without_a_word(tmp_path, capfd, mode, options):
    image = np.random.default_rng(0).integers(0, 255, (96, 80, len(mode)), np.uint8)
    image[40:] = 0  # the border of many scans
    file = tmp_path / 'a.jpg'
    Image.fromarray(image.squeeze(), mode).save(file, quality=90, **options)
    first = read_image(file)
    np.testing.assert_array_equal(read_image(file), first)
    assert capfd.readouterr() == ('', '')
    content = file.read_bytes()
    scan = content.index(b'\xff\xda')
    for end in range(scan + 200, (scan + len(content)) // 2, 97):
        with pytest.raises(ImageReadError, match='cut off'):
            decode_image(content[:end] + b'\xff\xd9', 'a.jpg')


def test_transform(tmp_path, colour):
    Image.fromarray(colour).save(tmp_path / 'a.png')
    step = TRANSFORMS.build(dict(type='leopart_mm.LoadImage', channel_order='rgb'))
    results = step(dict(img_path=str(tmp_path / 'a.png')))
    np.testing.assert_array_equal(results['img'], colour)
    assert results['img_shape'] == results['ori_shape'] == (24, 36)
