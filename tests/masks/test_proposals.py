"""Kinds of proposals, and their files."""

import json

import numpy as np
import pytest

from leopart_mm.masks import InstanceFiles, InstanceProposals, LabelMapFiles, LabelProposals
from leopart_mm.masks.instance_shapes import segmentation_mask

LABELS = np.array([[1, 1, 255], [3, 3, 255]], np.uint8)
SQUARE, CROSS = np.zeros((2, 5, 7), bool)
SQUARE[1:4, 1:4] = True
CROSS[2] = CROSS[:, 3] = True


def test_a_label_map_has_the_masks_whose_numbers_occur(tmp_path):
    proposals = LabelProposals(LABELS)
    assert len(proposals) == 2
    assert proposals.size == (2, 3)
    assert proposals.largest_share() == 2 / 6
    assert LabelProposals(np.full((2, 3), 255, np.uint8)).largest_share() == 0
    assert [mask.tolist() for mask in proposals.masks()] == [(LABELS == 1).tolist(), (LABELS == 3).tolist()]
    assert proposals.label_map().tolist() == [[0, 0, 255], [1, 1, 255]]
    assert len(LabelProposals(np.full((2, 2), 255, np.uint8))) == 0
    LabelMapFiles().write(tmp_path / 'a.b' / 'c.png', proposals)
    assert np.array_equal(LabelMapFiles().read(tmp_path / 'a.b' / 'c.png').labels, LABELS)


@pytest.mark.parametrize('labels', [LABELS.astype(np.int64), LABELS[None]])
def test_only_bytes_are_a_label_map(tmp_path, labels):
    with pytest.raises(ValueError, match=r'a\.png: a map of proposals must be \(H, W\) uint8'):
        LabelMapFiles().write(tmp_path / 'a.png', LabelProposals(labels))
    assert not (tmp_path / 'a.png').exists()


@pytest.mark.parametrize('content', [b'', b'\x89PNG\r\n\x1a\n cut'])
def test_a_damaged_label_map_is_named(tmp_path, content):
    (tmp_path / 'a.png').write_bytes(content)
    with pytest.raises(ValueError, match=r'a\.png is no map of proposals'):
        LabelMapFiles().read(tmp_path / 'a.png')


def test_overlapping_masks_keep_their_order_of_scores(tmp_path):
    proposals = InstanceProposals.from_masks([CROSS, np.zeros((5, 7), bool), SQUARE], [0.5, 0.9, 0.75], [4, 0, 2])
    assert len(proposals) == 2
    assert [entry['score'] for entry in proposals.annotations] == [0.75, 0.5]
    assert [entry['category_id'] for entry in proposals.annotations] == [2, 4]
    assert [entry['area'] for entry in proposals.annotations] == [9, 11]
    assert [entry['bbox'] for entry in proposals.annotations] == [[1, 1, 3, 3], [0, 0, 7, 5]]
    first, second = proposals.masks()
    assert np.array_equal(first, SQUARE)
    assert np.array_equal(second, CROSS)
    assert np.array_equal(proposals.label_map(), np.where(SQUARE, 0, np.where(CROSS, 1, 255)))
    assert proposals.largest_share() == 11 / 35
    InstanceFiles().write(tmp_path / 'a.json', proposals)
    assert InstanceFiles().read(tmp_path / 'a.json') == proposals


def test_the_joint_file_is_a_coco_json(tmp_path):
    files = InstanceFiles(['thing', 'other'])
    files.write(tmp_path / 'b.json', InstanceProposals.from_masks([SQUARE, CROSS], [1, 0.5], [0, 1]))
    files.write(tmp_path / 'a' / 'none.json', InstanceProposals.from_masks([], [], size=(5, 7)))
    files.write(tmp_path / 'a' / 'one.json', InstanceProposals.from_masks([CROSS], [1]))
    files.finish(tmp_path, {'b': 'b.jpg', 'a/none': 'a/none.png', 'a/one': 'a/one.jpg'}, tmp_path / 'out')
    content = json.loads((tmp_path / 'out' / 'annotations.json').read_text())
    assert content['images'] == [dict(id=number, file_name=name, height=5, width=7)
                                 for number, name in enumerate(['b.jpg', 'a/none.png', 'a/one.jpg'], 1)]
    assert [(entry['id'], entry['image_id'], entry['category_id']) for entry in content['annotations']] == [
        (1, 1, 0), (2, 1, 1), (3, 3, 0)]
    assert np.array_equal(segmentation_mask(content['annotations'][2]['segmentation'], (5, 7)), CROSS)
    assert content['categories'] == [dict(id=0, name='thing'), dict(id=1, name='other')]


@pytest.mark.parametrize('content', ['', '{"height": 3', '[]', '{"images": []}'])
def test_a_damaged_json_is_named(tmp_path, content):
    (tmp_path / 'a.json').write_text(content)
    with pytest.raises(ValueError, match=r'a\.json holds no proposals'):
        InstanceFiles().read(tmp_path / 'a.json')


def test_polygons_that_enclose_no_pixel_are_no_mask():
    shapes = [[1, 1, 2, 2, 1, 1]], [[0, 0, 7, 0, 7, 5]]
    proposals = InstanceProposals((5, 7), [dict(segmentation=shape) for shape in shapes])
    assert len(proposals) == len(list(proposals.masks())) == 1
    assert InstanceProposals((5, 7), []).largest_share() == 0


def test_files_of_uncompressed_run_lengths_are_read():
    """As those of earlier versions are."""
    proposals = InstanceProposals((2, 2), [dict(segmentation=dict(size=[2, 2], counts=[0, 2, 1, 1]))])
    assert next(proposals.masks()).tolist() == [[True, False], [True, True]]


def test_published_ids_count_from_zero(tmp_path):
    files = InstanceFiles(first_id=0)
    for name in 'ab':
        files.write(tmp_path / f'{name}.json', InstanceProposals.from_masks([SQUARE], [1]))
    files.finish(tmp_path, dict(a='a.jpg', b='b.jpg'), tmp_path)
    content = json.loads((tmp_path / 'annotations.json').read_text())
    assert [image['id'] for image in content['images']] == [0, 1]
    assert [(entry['id'], entry['image_id']) for entry in content['annotations']] == [(0, 0), (1, 1)]
