"""Boxes that are thin, empty or beyond their image."""

import numpy as np
import pytest

from leopart_mm.geometry.boxes import box_corners, box_iou, box_pixels


def test_overlap_of_boxes_without_area_is_0_and_the_first_of_equals_is_best():
    found = box_iou([3, 3, 3, 3], [[3, 3, 3, 3], [0, 0, 9, 9]])
    assert found.tolist() == [0, 0]
    assert box_iou([0, 0, 4, 4], [[0, 0, 2, 4], [2, 0, 4, 4], [9, 9, 10, 10]]).tolist() == [0.5, 0.5, 0]
    assert box_iou([0, 0, 4, 4], np.zeros((0, 4))).shape == (0, )
    assert box_corners([[1, 2, 3.5, 4]]).tolist() == [[1, 2, 4.5, 6]]


@pytest.mark.parametrize(('box', 'rows', 'columns'), [
    ([-3, -2, 7, 5], (0, 3), (0, 4)),       # cut at the image
    ([8, 18.6, 9, 9], (19, 20), (8, 10)),
    ([4.2, 5.1, 0.2, 0], (5, 6), (4, 5)),   # thinner than a pixel
    ([9.6, 19.9, 0.3, 0.1], (19, 20), (9, 10)),
    ([0, 0, 10, 20], (0, 20), (0, 10)),
])
def test_pixels_of_a_box(box, rows, columns):
    assert box_pixels(box, (20, 10)) == (slice(*rows), slice(*columns))


@pytest.mark.parametrize(('box', 'words'), [
    ([11, 0, 3, 3], 'lies outside of its image of 10x20 pixels'),
    ([0, -9, 3, 3], 'lies outside'),
    ([0, 0, -1, 3], 'is not x, y, width, height'),
    ([0, 0, float('nan'), 3], 'is not x, y, width, height'),
])
def test_a_box_that_covers_nothing_is_refused(box, words):
    with pytest.raises(ValueError, match=words):
        box_pixels(box, (20, 10))
