"""A list of images cut out of a COCO JSON; equality with the published files is a golden check."""

import json

import pytest

from leopart_mm.datasets.coco_json import CocoFile
from leopart_mm.datasets.conversion import ConversionError
from leopart_mm.datasets.converters.coco20k import agnostic, convert, select_images

FULL = CocoFile([dict(id=number, file_name=f'{number}.jpg', height=3, width=4) for number in (1, 2, 3)],
                [dict(id=10 + number, image_id=image, category_id=5, iscrowd=number == 1)
                 for number, image in enumerate((3, 1, 1))], [dict(id=5, name='cat'), dict(id=6, name='dog')])


def test_order_of_the_list_and_every_image_once():
    found = select_images(FULL, ['train2014/3.jpg', 'train2014\\1.jpg', '3.jpg'])
    assert [image['id'] for image in found.images] == [3, 1]
    assert [entry['id'] for entry in found.annotations] == [10, 11, 12]
    assert found.categories == FULL.categories
    one = agnostic(found)
    assert {entry['category_id'] for entry in one.annotations} == {0}
    assert [(entry['id'], entry['name']) for entry in one.categories] == [(0, '')]
    assert found.annotations[0]['category_id'] == 5


def test_errors(tmp_path):
    with pytest.raises(ConversionError, match=r'2 of the 3 images of the list are not .*: 7\.jpg, 8\.jpg\. COCO20k'):
        select_images(FULL, ['7.jpg', '8.jpg', '1.jpg'])
    with pytest.raises(ConversionError, match=r'The list x\.txt names no image'):
        select_images(FULL, [], 'x.txt')
    file = tmp_path / 'full.json'
    with pytest.raises(ConversionError, match=r'file of annotations is missing.*annotations_trainval2014'):
        convert(file, tmp_path / 'list.txt', tmp_path / 'out')
    file.write_text(json.dumps(dict(images=FULL.images, annotations=FULL.annotations, categories=FULL.categories))[:99])
    with pytest.raises(ConversionError, match=r'list of images is missing.*19,817 lines'):
        convert(file, tmp_path / 'list.txt', tmp_path / 'out')
    (tmp_path / 'list.txt').write_text('1.jpg\n')
    with pytest.raises(ValueError, match=r'full\.json is no whole JSON: it is cut off at byte 9\d of 99'):
        convert(file, tmp_path / 'list.txt', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    part = file.rename(tmp_path / 'instances_selected.json')
    with pytest.raises(ConversionError, match='would be replaced by its own part'):
        convert(part, tmp_path / 'list.txt', tmp_path)
