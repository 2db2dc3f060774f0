import os

import numpy as np
import pytest
from PIL import Image

from leopart_mm.datasets import ImageReadError, read_image
from leopart_mm.datasets.transforms import LoadImage, decoded_images
from leopart_mm.datasets.transforms.decoded_images import DecodedImages
from leopart_mm.datasets.transforms.resizing import resize_image
from leopart_mm.engine.config import load_config
from tests.paths import REPO


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / 'images' / 'a.jpg'
    path.parent.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def decoded(monkeypatch):
    """Paths of the files that are decoded."""
    paths = []

    def read(path, *args):
        paths.append(str(path))
        return read_image(path, *args)

    monkeypatch.setattr(decoded_images, 'read_image', read)
    return paths


def files(folder):
    return [path for path in folder.rglob('*') if path.is_file()]


def test_an_image_is_decoded_once_and_reduced(photo, tmp_path, decoded):
    load = LoadImage(cache=str(tmp_path / 'cache'), cache_side=20)
    results = [load(dict(img_path=str(photo))) for _ in range(3)]
    assert decoded == [str(photo)]
    for result in results:
        np.testing.assert_array_equal(result['img'], resize_image(read_image(photo), (20, 30)))
        assert result['img_shape'] == (20, 30)
        result['img'][:] = 0  # each is its own memory
    assert load(dict(img_path=str(photo)))['img'].any()


def test_small_images_stay_as_they_are(photo, tmp_path):
    np.testing.assert_array_equal(DecodedImages(tmp_path / 'cache', 60).read(photo), read_image(photo))


def test_what_is_kept_belongs_to_the_file_and_to_how_it_was_read(photo, tmp_path, decoded):
    cache = DecodedImages(tmp_path / 'cache', 20)
    bgr = cache.read(photo)
    np.testing.assert_array_equal(cache.read(photo, 'rgb'), bgr[..., ::-1])
    DecodedImages(tmp_path / 'cache', 21).read(photo)
    cache.read(photo, value_range=(0., 4000.))
    assert len(decoded) == 4
    cache.read(os.path.relpath(photo))  # another spelling of the same path
    cache.read(photo, value_range=[0, 4000])
    assert len(decoded) == 4
    Image.new('RGB', (90, 60)).save(photo)
    assert not cache.read(photo).any()


@pytest.mark.parametrize('damage', [lambda data: data[:-1], lambda data: data[:-1] + bytes([data[-1] ^ 1]),
                                    lambda data: b'', lambda data: data.replace(b'"shape"', b'"shade"')])
def test_a_damaged_file_is_made_again(damage, photo, tmp_path, decoded):
    cache = DecodedImages(tmp_path / 'cache', 20)
    whole = cache.read(photo)
    file, = files(tmp_path / 'cache')
    file.write_bytes(damage(file.read_bytes()))
    np.testing.assert_array_equal(cache.read(photo), whole)
    np.testing.assert_array_equal(cache.read(photo), whole)
    assert len(decoded) == 2


def test_nothing_is_kept_of_files_that_cannot_be_read(photo, tmp_path):
    cache = DecodedImages(tmp_path / 'cache', 20)
    photo.write_bytes(photo.read_bytes()[:500])
    with pytest.raises(ImageReadError, match='damaged'):
        cache.read(photo)
    photo.unlink()
    with pytest.raises(ImageReadError, match='No such file'):
        cache.read(photo)
    assert not files(tmp_path / 'cache')


def test_wrong_settings_are_named(tmp_path):
    with pytest.raises(ValueError, match='three bands'):
        LoadImage(bands=5, cache=str(tmp_path))
    with pytest.raises(ValueError, match='at least 1 pixel'):
        LoadImage(cache=str(tmp_path), cache_side=0)


@pytest.mark.parametrize(('name', 'options', 'side'), [
    ('leopart/leopart_dino-vits16_folder', {}, 255), ('paka/paka_dinov2r-vits14_folder', {}, 591),
    ('neco/neco_dinov2r-vits14_coco_518px', {}, 591),
    ('neco/neco_dinov2r-vits14_folder', dict(crop_sizes=(112, 56)), 128)])
def test_a_config_keeps_images_by_its_crops(name, options, side):
    path = REPO / 'configs' / f'{name}.py'
    load = load_config(path, dict(options, image_cache='my/cache')).train_dataloader.dataset.pipeline[0]
    assert (load.cache, load.cache_side) == ('my/cache', side)
    assert load_config(path).train_dataloader.dataset.pipeline[0].cache is None
