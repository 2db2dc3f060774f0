"""Tiles cover each pixel once, by the nearest centre."""

from itertools import pairwise

import numpy as np
import pytest

from leopart_mm.apis.tiling import segment_tiles, spans


@pytest.mark.parametrize(('length', 'tile', 'overlap'), [(100, 40, 10), (41, 40, 39), (40, 40, 0), (7, 40, 5),
                                                         (1000, 33, 8), (81, 40, 0), (5, 2, 1), (10_000, 448, 112)])
def test_every_pixel_is_decided_once_by_the_nearest_centre(length, tile, overlap):
    found = spans(length, tile, overlap)
    assert [span.core_start for span in found] == [0, *(span.core_stop for span in found[:-1])]
    assert found[-1].core_stop == length
    assert all(0 <= span.start <= span.core_start < span.core_stop <= span.stop <= length for span in found)
    assert all(span.stop - span.start == min(tile, length) for span in found)
    assert all(one.stop - other.start >= overlap for one, other in pairwise(found))
    centres = np.array([(span.start + span.stop) / 2 for span in found])
    for span in found:
        for pixel in {span.core_start, (span.core_start + span.core_stop) // 2, span.core_stop - 1}:
            distances = np.abs(pixel + 0.5 - centres)
            own = abs(pixel + 0.5 - (span.start + span.stop) / 2)
            assert own <= distances.min() + 0.5  # half a pixel where a border falls within one


def test_a_pixelwise_result_does_not_depend_on_tiles():
    image = np.random.default_rng(0).integers(0, 256, (53, 87, 2))
    for tile, overlap in ((16, 4), (20, 19), (60, 0), (100, 25)):
        found = segment_tiles(image, tile, overlap, lambda part: part[..., 1] * 2, np.uint16)
        assert found.dtype == np.uint16
        assert np.array_equal(found, image[..., 1] * 2)


def test_one_tile_is_at_work_at_a_time():
    seen = []

    def predict(part):
        seen.append(part.shape)
        return np.zeros(part.shape[:2])

    segment_tiles(np.zeros((50, 30, 3)), 20, 5, predict)
    assert set(seen) == {(20, 20, 3)}
    assert len(seen) == 3 * 2


@pytest.mark.parametrize(('tile', 'overlap'), [(0, 0), (4, 4), (4, -1)])
def test_impossible_tiles(tile, overlap):
    with pytest.raises(ValueError, match=f'Tiles of {tile} px'):
        spans(10, tile, overlap)
