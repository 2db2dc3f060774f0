"""Segments against scikit-image's components and pycocotools' run lengths."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from skimage.measure import label as components

from leopart_mm.exports import segments as module
from leopart_mm.exports.segments import find_segments
from tests.exports.builders import LABELS, random_map

ALL = np.arange(2**16, dtype=np.int32)


def expected(labels, lookup, whole, min_area):
    """(category, mask) of every segment, from whole masks."""
    found = []
    categories = lookup[labels]
    for category in np.unique(categories[categories >= 0]):
        mask = categories == category
        parts = mask.astype(int) if whole else components(mask, connectivity=1)
        found += [(category, parts == number) for number in range(1, parts.max() + 1)
                  if (parts == number).sum() >= min_area]
    return found


@pytest.mark.parametrize('whole', [False, True])
@pytest.mark.parametrize('min_area', [1, 12])
@pytest.mark.parametrize('size', [(37, 53), (1, 40), (40, 1), (30, 30)])
def test_segments_are_those_of_whole_masks(monkeypatch, size, min_area, whole):
    monkeypatch.setattr(module, 'COLUMNS_AT_ONCE', 16)
    lookup = ALL.copy()
    lookup[3] = 0  # merged with 0: neighbours become one segment
    lookup[1] = -1
    labels = random_map(0, size).astype(np.uint8)
    found = find_segments(labels, lookup, whole, min_area)
    pairs = expected(labels, lookup, whole, min_area)
    lengths = [(category, coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))) for category, mask in pairs]
    assert len(found) == len(pairs) > 0
    key = {(int(category), rle['counts'].decode()): number for number, (category, rle) in enumerate(lengths)}
    seen = set()
    for index in range(len(found)):
        rle = found.run_lengths(index)
        assert rle['size'] == list(size)
        number = key[int(found.categories[index]), rle['counts']]
        mask = pairs[number][1]
        x, y, width, height = found.box(index)
        assert [x, y, width, height] == coco_mask.toBbox(lengths[number][1]).tolist()
        assert found.areas[index] == mask.sum()
        assert np.array_equal(found.mask(index), mask[y:y + height, x:x + width])
        seen.add(number)
    assert len(seen) == len(pairs)


def test_order_is_that_of_first_pixels_and_diagonals_do_not_connect():
    found = find_segments(LABELS.astype(np.uint8), ALL)
    assert found.categories.tolist() == [0, 3, 1, 0, 2, 2, 0]
    assert found.areas.tolist() == [4, 4, 8, 1, 1, 3, 3]
    assert [found.box(index) for index in (0, 2, 6)] == [(0, 0, 2, 2), (2, 0, 3, 3), (5, 0, 1, 3)]
    assert find_segments(LABELS.astype(np.uint8), ALL, whole=True).categories.tolist() == [0, 3, 1, 2]


def test_nothing_at_all():
    found = find_segments(np.zeros((3, 4), np.uint8), np.full(2**16, -1, np.int32))
    assert len(found) == 0
    assert found.areas.tolist() == []
    assert len(find_segments(np.zeros((3, 4), np.uint16), ALL, min_area=13)) == 0


def test_a_segment_that_fills_the_image_has_two_counts():
    found = find_segments(np.full((5, 4), 7, np.uint16), ALL)
    assert found.joined_runs(0).tolist() == [0, 20]
    assert found.run_lengths(0)['counts'] == coco_mask.encode(np.ones((5, 4), np.uint8, order='F'))['counts'].decode()
