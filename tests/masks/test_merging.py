"""Label maps of scored masks, against values worked out by hand."""

import cv2
import numpy as np
import pytest

from leopart_mm.masks.instance_shapes import box_mask, grabcut_mask, instance_mask, segmentation_mask
from leopart_mm.masks.merging import merge_instances, select_instances


def mask(*rows):
    return np.array([[letter == '#' for letter in row] for row in rows])


@pytest.mark.parametrize(('overlap', 'expected'), [
    ('first_wins', [[0, 2, 2], [3, 2, 2], [3, 3, 4]]),
    ('skip', [[0, 2, 2], [0, 2, 2], [0, 0, 4]]),
    # the second mask: rows 0 and 1 of the map hold labels, so it is dropped like the third
    ('published', [[0, 2, 2], [0, 2, 2], [0, 0, 0]]),
])
def test_overlaps(overlap, expected):
    masks = mask('.##', '.##', '...'), mask('...', '##.', '##.'), mask('...', '...', '..#')
    assert merge_instances(masks, [1, 2, 3], (3, 3), overlap).tolist() == expected


def test_the_published_rule_looks_at_two_rows_only_and_overwrites():
    low, wide, all_of_it = mask('...', '...', '##.'), mask('...', '...', '.##'), np.ones((3, 3), bool)
    assert merge_instances([low, wide], [0, 1], (3, 3), 'published')[2].tolist() == [1, 2, 2]
    # A mask of the whole image has no 0, which would point to row 0.
    first, second = mask('#..', '...', '...'), mask('...', '#..', '...')
    assert (merge_instances([first, all_of_it], [0, 1], (3, 3), 'published') == 2).all()
    assert (merge_instances([second, all_of_it], [0, 1], (3, 3), 'published') == second).all()
    assert merge_instances([mask('#..'), np.ones((1, 3), bool)], [0, 1], (1, 3), 'published').tolist() == [[2, 2, 2]]


def test_masks_without_a_pixel_paint_nothing():
    empty = np.zeros((2, 2), bool)
    for overlap in ('first_wins', 'skip', 'published'):
        assert not merge_instances([empty, empty], [3, 4], (2, 2), overlap).any()
    assert merge_instances([], [], (2, 2)).tolist() == [[0, 0], [0, 0]]


def test_what_does_not_fit_is_refused():
    one = np.ones((1, 2), bool)
    assert merge_instances([one], [253], (1, 2)).tolist() == [[254, 254]]
    for category in (254, 255, -1):
        with pytest.raises(ValueError, match=f'category {category}.*0..253'):
            merge_instances([one], [category], (1, 2))
    with pytest.raises(ValueError, match='1 x 2 pixels, the map 2 x 1'):
        merge_instances([one], [0], (2, 1))
    with pytest.raises(ValueError, match="overlap='last' is unknown"):
        merge_instances([one], [0], (1, 2), 'last')


def test_selection():
    assert select_instances([]) == []
    assert select_instances([.9, .89], .9) == [0]
    assert select_instances([.1, .2, .2], .9) == [1]
    assert select_instances([.1, .2, .2], .9, 'file') == [0]
    assert select_instances([.95, .2, .99, .95], .9) == [2, 0, 3]
    assert select_instances([.95, .2, .99], .9, 'file') == [0]
    descending = np.random.default_rng(0).random((20, 8)).astype(np.float64)
    for scores in -np.sort(-descending):
        assert select_instances(scores, .5) == select_instances(scores, .5, 'file')
    with pytest.raises(ValueError, match='score of mask 1 is NaN'):
        select_instances([.5, float('nan')])
    with pytest.raises(ValueError, match="order='random' is unknown"):
        select_instances([.5], order='random')


def test_forms_of_a_segmentation_agree():
    from pycocotools import mask as coco_mask
    expected = np.random.default_rng(1).random((7, 5)) > .5
    compressed = coco_mask.encode(np.asfortranarray(expected.astype(np.uint8)))
    text = dict(compressed, counts=compressed['counts'].decode())
    flat = expected.flatten('F').astype(int).tolist()
    counts, last = [0], 0
    for value in flat:
        counts, last = (counts if value == last else [*counts, 0]), value
        counts[-1] += 1
    for form in (compressed, text, dict(size=[7, 5], counts=counts)):
        assert (segmentation_mask(form, (7, 5)) == expected).all()
    two = segmentation_mask([[0, 0, 2, 0, 2, 2, 0, 2], [3, 0, 5, 0, 5, 1, 3, 1]], (7, 5))
    assert two.sum() == 6
    assert two[:2, :2].all()
    assert two[0, 3:].all()
    assert not segmentation_mask([], (7, 5)).any()
    with pytest.raises(ValueError, match='its mask has 7 x 5 pixels, its image 5 x 7'):
        segmentation_mask(text, (5, 7))
    with pytest.raises(ValueError, match='run lengths of 3 pixels do not fill 7 x 5'):
        segmentation_mask(dict(size=[7, 5], counts=[1, 2]), (7, 5))
    with pytest.raises(ValueError, match='neither run lengths nor a list of polygons'):
        segmentation_mask(dict(rle='x'), (7, 5))


def test_boxes_are_cut_at_the_image():
    assert box_mask([-5, -5, 6, 6], (3, 4)).sum() == 4
    assert box_mask([2, 1, 50, 50], (3, 4)).sum() == 4
    assert not box_mask([9, 9, 1, 1], (3, 4)).any()
    assert not box_mask([-9, -9, 1, 1], (3, 4)).any()


def test_grabcut_finds_a_square_again_and_is_empty_where_it_cannot():
    image = np.random.default_rng(0).integers(0, 60, (60, 80, 3), dtype=np.uint8)
    image[20:40, 30:60] += 150
    annotation = dict(bbox=[21.5, 14, 45, 34])
    found = instance_mask(annotation, (60, 80), 'grabcut', image)
    assert found.sum() == 600
    assert found[20:40, 30:60].all()
    cv2.randu(np.empty(7, np.float32), 0, 1)  # moves OpenCV's generator on
    assert (instance_mask(annotation, (60, 80), 'grabcut', image) == found).all()
    for box in ([0, 0, 80, 60], [200, 200, 5, 5], [10, 10, 0, 0]):
        assert not grabcut_mask(image, box).any()
    with pytest.raises(ValueError, match="shape='oval' is unknown"):
        instance_mask(annotation, (60, 80), 'oval')
