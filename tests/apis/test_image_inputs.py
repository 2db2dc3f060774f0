"""Files, folders and arrays of any number of bands."""

import numpy as np
import pytest
import tifffile

from leopart_mm.apis.image_inputs import list_images, preview
from leopart_mm.datasets.band_reading import load_image
from leopart_mm.datasets.image_reading import ImageReadError
from leopart_mm.datasets.output_marks import mark_outputs
from tests.apis.builders import write_images


def test_a_folder(tmp_path):
    write_images(tmp_path, ['a/1.png', 'b/1.png', 'b/2.PNG', 'b/2.jpg', 'b/3.x.png', '.hidden.png', 'out/labels/9.png'])
    for name in ('notes.txt', 'b/Thumbs.db'):
        (tmp_path / name).write_text('no image')
    mark_outputs(tmp_path / 'out', ['labels'])
    found = list_images(tmp_path)
    assert found.names == ['a/1', 'b/1', 'b/2_PNG', 'b/2_jpg', 'b/3.x']
    assert found.images[0] == str(tmp_path / 'a' / '1.png')
    assert found.num_skipped == 2


def test_lists_and_arrays(tmp_path):
    write_images(tmp_path, ['a/1.png', 'b/1.png', 'c/x/2.png'])
    array = np.zeros((4, 4, 3), np.uint8)
    found = list_images([tmp_path / 'a' / '1.png', tmp_path / 'b' / '1.png', array, tmp_path / 'c'])
    assert found.names == ['a/1', 'b/1', 'image_2', 'c/x/2']
    assert list_images(array).names == ['image_0']
    assert list_images(tmp_path / 'a' / '1.png').names == ['1']
    assert list_images([tmp_path / 'a' / '1.png'] * 2).names == ['1', '1_2']


@pytest.mark.parametrize('names', [
    ['cat.jpg', 'cat.png', 'cat_jpg.jpg'], ['a', 'a.png', 'a_png', 'a_.png'], ['image_3.png', 'image_3.jpg', 'x.png'],
    ['cat.jpg', 'cat.png', 'cat_jpg.jpg', 'cat_jpg.png', 'cat.jpg.png', 'cat_png_png.bmp']])
def test_no_two_images_share_a_name(names, tmp_path):
    for name in names:
        (tmp_path / name).touch()
    paths = [tmp_path / name for name in names]
    found = list_images([*paths, np.zeros((2, 2)), paths[0]]).names
    assert len(set(found)) == len(names) + 2


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    write_images(tmp_path, ['in/1.png'])
    assert list_images('~/in').images == [str(tmp_path / 'in/1.png')]
    assert list_images(['~/in/1.png']).names == ['1']


def test_nothing_to_find(tmp_path):
    (tmp_path / 'notes.txt').write_text('')
    with pytest.raises(FileNotFoundError, match=r'no image in .* none of its 1 files ends with one of .jpg'):
        list_images(tmp_path)
    with pytest.raises(FileNotFoundError, match=r'no image or folder .*nowhere'):
        list_images(tmp_path / 'nowhere')
    with pytest.raises(TypeError, match='not as int'):
        list_images([3])


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_many_bands_from_every_file(tmp_path, dtype):
    image = (np.random.default_rng(0).random((8, 12, 6)) * 200).astype(dtype)
    np.save(tmp_path / 'last.npy', image)
    np.save(tmp_path / 'first.npy', np.moveaxis(image, 2, 0))
    tifffile.imwrite(tmp_path / 'plain.tif', image)
    tifffile.imwrite(tmp_path / 'planes.tiff', np.moveaxis(image, 2, 0))
    tifffile.imwrite(tmp_path / 'packed.tif', image, compression='zlib')
    for file in tmp_path.iterdir():
        found = load_image(str(file), 6)
        assert found.dtype == dtype, file
        assert np.array_equal(found, image), file
    for name in ('last.npy', 'plain.tif'):
        assert isinstance(load_image(str(tmp_path / name), 6), np.memmap)


def test_three_bands_are_read_as_opencv_reads_them(tmp_path):
    image, = write_images(tmp_path, ['a.png'])
    assert np.array_equal(load_image(str(tmp_path / 'a.png')), image)
    assert np.array_equal(preview(load_image(str(tmp_path / 'a.png')), 3), image[..., ::-1])
    assert np.array_equal(load_image(image), image)
    grey = load_image(image[..., 0])
    assert grey.shape == image.shape
    assert np.array_equal(grey[..., 2], image[..., 0])


def test_what_is_no_such_image_is_named(tmp_path):
    np.save(tmp_path / 'four.npy', np.zeros((5, 6, 4)))
    with pytest.raises(ImageReadError, match=r'four.npy: its shape is \(5, 6, 4\), but the network takes 6 bands'):
        load_image(str(tmp_path / 'four.npy'), 6)
    np.save(tmp_path / 'text.npy', np.array(['a']))
    with pytest.raises(ImageReadError, match='no picture'):
        load_image(str(tmp_path / 'text.npy'), 6)
    (tmp_path / 'cut.npy').write_bytes((tmp_path / 'four.npy').read_bytes()[:-9])
    (tmp_path / 'empty.tif').write_bytes(b'')
    (tmp_path / 'cut.tif').write_bytes(b'II*\x00abc')
    np.save(tmp_path / 'object.npy', np.array([dict()]), allow_pickle=True)  # would run code when read
    for name in ('cut.npy', 'empty.tif', 'cut.tif', 'object.npy'):
        with pytest.raises(ImageReadError, match=name):
            load_image(str(tmp_path / name), 6)


def test_previews_of_many_bands_show_the_first_three(tmp_path):
    ramp = np.linspace(0, 4000, 101).reshape(1, 101, 1).repeat(20, 0)
    image = np.concatenate([ramp, ramp[:, ::-1], ramp * 0, ramp], axis=2)
    found = preview(image, 4)
    assert found.dtype == np.uint8
    assert found[0, 0].tolist() == [0, 255, 0]
    assert found[0, 50].tolist() == [127, 127, 0]
    assert preview(image, 4, max_side=25).shape == (5, 26, 3)
