"""COCO's JSON files: what is written is read, and what is wrong with a file is said by name."""

import json

import pytest

from leopart_mm.datasets.coco_json import coco_kind, read_coco, write_coco, write_results

IMAGES = [dict(id=4, file_name='ä/1.jpg', height=3, width=5), dict(id='b', file_name='2.jpg', height=2, width=2)]
CATEGORIES = [dict(id=0, name=''), dict(id=7, name='dog')]
MASK = dict(size=[3, 5], counts=[15])


def annotation(**changes):
    return dict(id=1, image_id=4, category_id=7, bbox=[0, 0, 2, 2], segmentation=MASK) | changes


def dataset(path, images=IMAGES, annotations=None, categories=CATEGORIES):
    two = [annotation(), annotation(id=2, category_id=0)]
    write_coco(path, images, two if annotations is None else annotations, categories, info=dict(description='x'))
    return path


def test_what_is_written_is_read_and_equal_content_has_equal_bytes(tmp_path):
    found = read_coco(dataset(tmp_path / 'a.json'))
    assert (found.images, found.categories, found.info) == (IMAGES, CATEGORIES, dict(description='x'))
    assert [len(entries) for entries in found.by_image().values()] == [2, 0]
    write_coco(tmp_path / 'b.json', iter(found.images), iter(found.annotations), found.categories, found.info)
    assert (tmp_path / 'a.json').read_bytes() == (tmp_path / 'b.json').read_bytes()
    assert json.loads((tmp_path / 'a.json').read_text())['annotations'] == found.annotations
    write_coco(tmp_path / 'c.json', [], [], [])
    assert read_coco(tmp_path / 'c.json').images == []
    write_results(tmp_path / 'r.json', [annotation(score=0.5)])
    assert read_coco(tmp_path / 'r.json', 'results', IMAGES, CATEGORIES).annotations == [annotation(score=0.5)]
    assert [coco_kind(tmp_path / name) for name in ('a.json', 'r.json')] == ['dataset', 'results']


def test_a_failed_write_leaves_the_old_file(tmp_path):
    before = dataset(tmp_path / 'a.json').read_bytes()
    with pytest.raises(TypeError):
        dataset(tmp_path / 'a.json', annotations=[annotation(), annotation(id=object())])
    assert (tmp_path / 'a.json').read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ['a.json']


@pytest.mark.parametrize('byte', [1, 30, 80, 150, 200, 300])
def test_a_file_that_is_cut_off_is_named_with_the_byte(tmp_path, byte):
    file = dataset(tmp_path / 'a.json')
    content = file.read_bytes()
    file.write_bytes(content[:byte])
    with pytest.raises(ValueError, match=rf'a\.json is no whole JSON: it is cut off at byte \d+ of {byte} '):
        read_coco(file)


def test_a_damaged_byte_is_named(tmp_path):
    file = dataset(tmp_path / 'a.json')
    content = bytearray(file.read_bytes())
    place = content.index(b'"annotations"') + 13
    content[place] = ord('?')
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f'it is damaged at byte {place} of {len(content)}'):
        read_coco(file)
    content[place] = 0xff
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f'at byte {place} of .*no UTF-8'):
        read_coco(file)


@pytest.mark.parametrize(('parts', 'words'), [
    (dict(images=[IMAGES[0], IMAGES[0]]), 'two entries of image have the id 4'),
    (dict(images=[dict(IMAGES[0], height=0)]), 'image 4 has a height of 0 and a width of 5'),
    (dict(images=[dict(id=4, height=3, width=5)]), r'image number 0 \(from 0\) has no file_name'),
    (dict(annotations=[None]), r'annotation number 0 \(from 0\) has no image_id, category_id'),
    (dict(annotations=[annotation(image_id=5)]), 'annotation 1 is of image 5, which is not among the images'),
    (dict(annotations=[annotation(image_id=[5])]), r'annotation number 0 has the image_id \[5\]'),
    (dict(annotations=[annotation(category_id=8)]), 'annotation 1 has category 8, but there are only 0, 7'),
    (dict(annotations=[annotation(image_id='b')]),
     r"annotation 1 has a mask of 3 x 5 pixels, but its image 'b' has 2 x 2"),
    (dict(categories=[dict(id=0)]), r'category number 0 \(from 0\) has no name'),
])
def test_entries_that_do_not_fit_are_named_with_the_file(tmp_path, parts, words):
    with pytest.raises(ValueError, match=rf'a\.json: {words}'):
        read_coco(dataset(tmp_path / 'a.json', **parts))


@pytest.mark.parametrize(('entry', 'words'), [
    (annotation(), r'has no score'),
    (annotation(score='high'), "annotation 1 has the score 'high'"),
    (annotation(score=0.5, image_id=9), 'annotation 1 is of image 9'),
    (annotation(score=0.5, category_id=300), 'annotation 1 has category 300'),
])
def test_results_that_do_not_fit_are_named(tmp_path, entry, words):
    write_results(tmp_path / 'r.json', [entry])
    with pytest.raises(ValueError, match=words):
        read_coco(tmp_path / 'r.json', 'results', IMAGES, CATEGORIES)


def test_the_other_kind_is_said(tmp_path):
    write_results(tmp_path / 'r.json', [])
    with pytest.raises(ValueError, match=r'r\.json is no file of annotations .*: it holds a list'):
        read_coco(tmp_path / 'r.json')
    with pytest.raises(ValueError, match=r'a\.json is no list of results, but holds the keys info, images'):
        read_coco(dataset(tmp_path / 'a.json'), 'results')
    with pytest.raises(ValueError, match="kind='x' is unknown"):
        read_coco(tmp_path / 'a.json', 'x')
