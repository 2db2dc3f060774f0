"""LabelledImages: images and the label maps that a run wrote for them."""

import cv2
import numpy as np
import pytest
from mmengine.logging import MMLogger

from leopart_mm.datasets import LabelledImages
from leopart_mm.datasets.mask_reading import MaskError

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


@pytest.fixture
def place(tmp_path):
    """Images a.jpg, sub/b.png, c.png, and maps of these with a list; c has none."""
    rng = np.random.default_rng(0)
    for name in ('a.jpg', 'sub/b.png', 'c.png', 'd.png'):
        write(tmp_path / 'images' / name, rng.integers(0, 255, (12, 16, 3), np.uint8))
    for number, name in enumerate(('a', 'sub/b', 'd')):
        write(tmp_path / 'maps' / 'labels' / f'{name}.png', np.full((12, 16), number, np.uint8))
    (tmp_path / 'maps' / 'images.txt').write_text('sub/b\na\n')
    return tmp_path


def dataset(place, **kwargs):
    arguments = dict(data_root=str(place / 'images'), labels=str(place / 'maps'), num_classes=3, pipeline=PIPELINE)
    return LabelledImages(**{**arguments, **kwargs})


@pytest.fixture
def messages(monkeypatch):
    found = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'log', lambda level, message, *args: found.append(message))
    return found


def test_the_list_decides(place):
    data = dataset(place)
    assert [data[index]['img_path'].split('images/')[1] for index in range(len(data))] == ['sub/b.png', 'a.jpg']
    assert [int(data[index]['gt_seg_map'].max()) for index in range(2)] == [1, 0]
    assert data.metainfo['classes'] == ['background', 'cluster 1', 'cluster 2']
    (place / 'maps' / 'images.txt').unlink()
    assert len(dataset(place)) == 3


def test_names_of_a_data_set_where_there_are_as_many(place):
    assert dataset(place, num_classes=21, names='pascal_voc').metainfo['classes'][1] == 'aeroplane'
    assert dataset(place, num_classes=28, names='pascal_voc').metainfo['classes'][1] == 'cluster 1'
    assert dataset(place, metainfo=dict(classes=['x', 'y', 'z'])).metainfo['classes'] == ['x', 'y', 'z']
    with pytest.raises(ValueError, match='num_classes=256 must be 2 to 255'):
        dataset(place, num_classes=256)


def test_images_without_a_map_are_left_out_and_counted(place, messages):
    (place / 'maps' / 'images.txt').write_text('a\nc\nsub/b\n')
    assert len(dataset(place)) == 2
    assert any('1 of the 3 images' in message and 'left out: c.' in message for message in messages)
    (place / 'maps' / 'images.txt').write_text('c\n')
    with pytest.raises(ValueError, match=r'None of the 1 images .*generate_pseudo_labels\.py'):
        dataset(place)


def test_a_listed_image_that_is_missing_is_an_error(place):
    write(place / 'maps' / 'labels' / 'gone.png', np.zeros((12, 16), np.uint8))
    (place / 'maps' / 'images.txt').write_text('a\ngone\n')
    with pytest.raises(FileNotFoundError, match=r'1 of 2 listed images are missing .*gone'):
        dataset(place)
    with pytest.raises(FileNotFoundError, match=r'folder of masks.*label_folder=DIR'):
        dataset(place, labels=str(place / 'elsewhere'))


def test_images_may_lie_below_or_at_the_root(place):
    assert len(dataset(place, data_root=str(place), data_prefix=dict(img_path='images'))) == 2
    at_the_root = dataset(place, data_prefix=dict(img_path='JPEGImages'))
    assert at_the_root.get_data_info(1)['img_path'] == str(place / 'images' / 'a.jpg')


def test_names_are_those_of_the_runs(place):
    """Where suffixes tell images apart, labels are called after them, as the inferencer's outputs are."""
    write(place / 'images' / 'a.png', np.zeros((5, 6, 3), np.uint8))
    write(place / 'maps' / 'labels' / 'a_png.png', np.ones((5, 6), np.uint8))
    write(place / 'maps' / 'labels' / 'a_jpg.png', np.zeros((12, 16), np.uint8))
    (place / 'maps' / 'images.txt').write_text('a_jpg\na_png\n')
    data = dataset(place)
    assert [data.get_data_info(index)['img_path'][-5:] for index in range(2)] == ['a.jpg', 'a.png']


def test_maps_of_another_size_are_resized(place, messages):
    small = np.arange(3, dtype=np.uint8)[None].repeat(2, 0)
    write(place / 'maps' / 'labels' / 'a.png', small)
    found = dataset(place)[1]['gt_seg_map']
    expected = cv2.resize(small, (16, 12), interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(found, expected)
    assert any('has 2 x 3 pixels, its image 12 x 16' in message for message in messages)


def test_ids_beyond_the_classes_name_the_file(place):
    write(place / 'maps' / 'labels' / 'a.png', np.array([[0, 1, 2, 3, 9, 255]], np.uint8))
    with pytest.raises(MaskError, match=r'labels/a\.png holds the ids 3, 9.*classes 0 to 2.*num_classes=K'):
        dataset(place)[1]


def test_unreadable_images_are_skipped_or_an_error(place):
    (place / 'images' / 'a.jpg').write_bytes(b'\xff\xd8broken')
    data = dataset(place)
    assert data[1]['img_path'].endswith('b.png'), 'the next one takes its place'
    assert data.num_corrupt == 1
    with pytest.raises(OSError, match=r'a\.jpg'):
        dataset(place, on_corrupt='raise')[1]
    with pytest.raises(ValueError, match='needs data_root'):
        dataset(place, data_root='')
