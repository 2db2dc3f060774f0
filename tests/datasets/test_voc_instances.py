"""VOC's maps to COCO JSON: whole objects, components, lists of all kinds, and what is left out."""

import json

import numpy as np
import pytest

from leopart_mm.datasets.coco_json import read_coco
from leopart_mm.datasets.conversion import ConversionError
from leopart_mm.datasets.converters.voc_instances import convert
from leopart_mm.datasets.voc_lists import find_list
from leopart_mm.files import write_image_whole, write_text_whole
from leopart_mm.masks.instance_shapes import segmentation_mask

CLASSES = np.array([[0, 0, 1, 1, 255, 15, 15, 15],
                    [0, 0, 1, 1, 255, 15, 0, 15],
                    [20, 0, 0, 0, 255, 15, 15, 15],
                    [0, 20, 0, 0, 0, 0, 0, 0]], np.uint8)
OBJECTS = np.array([[0, 0, 1, 1, 255, 2, 2, 2],
                    [0, 0, 1, 1, 255, 2, 0, 3],
                    [4, 0, 0, 5, 255, 2, 2, 3],
                    [0, 4, 0, 0, 0, 0, 0, 0]], np.uint8)


@pytest.fixture
def root(tmp_path):
    for name in ('2007_000001', '2007_000002'):
        write_image_whole(tmp_path / f'SegmentationClass/{name}.png', CLASSES)
        write_image_whole(tmp_path / f'SegmentationObject/{name}.png', OBJECTS)
        write_image_whole(tmp_path / f'JPEGImages/{name}.jpg', np.zeros((4, 8, 3), np.uint8))
    write_image_whole(tmp_path / 'SegmentationClass/empty.png', np.zeros((4, 8), np.uint8))
    write_image_whole(tmp_path / 'SegmentationObject/empty.png', np.zeros((4, 8), np.uint8))
    write_text_whole(tmp_path / 'ImageSets/Segmentation/val.txt', '2007_000002\nempty\n2007_000001\n2007_000002\n')
    write_text_whole(tmp_path / 'ImageSets/Main/train_train.txt', '2007_000001 -1\n2007_000002  1\n')
    write_text_whole(tmp_path / 'aug.lst', '/JPEGImages/2007_000001.jpg /SegmentationClassAug/2007_000001.png\n')
    return tmp_path


def test_objects(root, capsys):
    report = convert(root, root / 'out/gt.json')
    found = read_coco(root / 'out/gt.json')
    assert [image['id'] for image in found.images] == ['2007_000002', 'empty', '2007_000001']
    assert found.images[0] == dict(file_name='2007_000002.jpg', height=4, width=8, id='2007_000002')
    assert [entry['id'] for entry in found.annotations] == list(range(1, 9))
    first = found.annotations[:4]
    # object 5 lies on background only, so it has no class
    assert [entry['category_id'] for entry in first] == [0, 14, 14, 19]
    for entry, number in zip(first, (1, 2, 3, 4), strict=True):
        np.testing.assert_array_equal(segmentation_mask(entry['segmentation'], (4, 8)), number == OBJECTS)
        assert entry['area'] == (number == OBJECTS).sum()
    assert first[1]['bbox'] == [5, 0, 3, 3]
    assert (report.annotations, report.without_class, report.empty, report.images) == (8, 2, 1, 3)
    assert '8 objects of SegmentationObject, in 3 images (1 without any); left out: 2 whose pixels mostly have no ' \
           'class.' in capsys.readouterr().out
    assert [entry['name'] for entry in found.categories][::19] == ['aeroplane', 'tvmonitor']
    assert found.info['objects'] == 'SegmentationObject'
    before = (root / 'out/gt.json').read_bytes()
    convert(root, root / 'out/gt.json', workers=1)
    assert (root / 'out/gt.json').read_bytes() == before


def test_components_of_classes(root, capsys):
    report = convert(root, root / 'gt.json', ['2007_000001'], objects='components', min_area=1)
    found = read_coco(root / 'gt.json')
    assert [entry['category_id'] for entry in found.annotations] == [0, 14, 19]  # by a corner they touch
    np.testing.assert_array_equal(segmentation_mask(found.annotations[1]['segmentation'], (4, 8)), CLASSES == 15)
    assert 'connected components of the classes of SegmentationClass, taken for objects' in capsys.readouterr().out
    assert found.info['objects'] == 'components'
    assert report.too_small == 0
    report = convert(root, root / 'gt.json', ['2007_000001'], objects='components', min_area=3)
    assert (report.annotations, report.too_small) == (2, 1)
    assert json.loads((root / 'gt.json').read_text())['info']['too_small'] == 1
    assert convert(root, root / 'gt.json', ['2007_000001'], objects='components').too_small == 3


def test_agnostic_and_polygons(root):
    report = convert(root, root / 'gt.json', ['2007_000001'], shape='polygons', agnostic=True)
    found = read_coco(root / 'gt.json')
    assert {entry['category_id'] for entry in found.annotations} == {0}
    assert [entry['name'] for entry in found.categories] == ['']
    assert (report.annotations, report.without_outline) == (2, 3)  # those of single pixels and of 1 x 2 are lost
    assert isinstance(found.annotations[0]['segmentation'], list)


def test_lists(root):
    for split, names in (('val', ['2007_000002', 'empty', '2007_000001']),
                         ('train_train', ['2007_000001', '2007_000002']),
                         (root / 'aug.lst', ['2007_000001']), ('aug.lst', ['2007_000001'])):
        convert(root, root / 'gt.json', split)
        assert [image['id'] for image in read_coco(root / 'gt.json').images] == names
    assert find_list(root, 'val') == root / 'ImageSets/Segmentation/val.txt'


def test_errors(root):
    with pytest.raises(ConversionError, match=r'no list trainaug: neither in .* There are: train_train, val\. Lists'):
        convert(root, root / 'gt.json', 'trainaug')
    with pytest.raises(ConversionError, match=r'absent\.png cannot be read'):
        convert(root, root / 'gt.json', ['absent'])
    write_image_whole(root / 'SegmentationObject/empty.png', np.zeros((5, 8), np.uint8))
    with pytest.raises(ConversionError, match='maps of empty differ in size: SegmentationClass has 4 x 8, '
                                              'SegmentationObject 5 x 8'):
        convert(root, root / 'gt.json', ['empty'])
    write_image_whole(root / 'SegmentationClass/empty.png', np.full((4, 8), 77, np.uint8))
    with pytest.raises(ConversionError, match=r'class map of empty holds class 77, but there are only 0\.\.20 and 255'):
        convert(root, root / 'gt.json', ['empty'], objects='components', min_area=1)
    with pytest.raises(ValueError, match="objects='x' is unknown"):
        convert(root, root / 'gt.json', objects='x')
    assert not (root / 'gt.json').exists()
    for file in (root / 'SegmentationObject').iterdir():
        file.unlink()
    (root / 'SegmentationObject').rmdir()
    with pytest.raises(ConversionError, match=r'The folder of object maps is missing.*--objects components'):
        convert(root, root / 'gt.json')
