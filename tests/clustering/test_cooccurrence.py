import math

import numpy as np
import pytest
from skimage.feature import graycomatrix

from leopart_mm.clustering.cooccurrence import (
    EVEN_ANGLES,
    PUBLISHED_ANGLES,
    CoOccurrence,
    cooccurrence_edges,
    pixel_offsets,
)


def reference(maps, clusters, distances, angles):
    """The published way, image by image, with scikit-image."""
    total, images = np.zeros((clusters, clusters)), np.zeros(clusters)
    for single in maps:
        counts = graycomatrix(single.astype(np.uint8), distances, angles, levels=clusters).sum((2, 3)).astype(float)
        np.fill_diagonal(counts, 0)
        rows = counts.sum(1)
        total += counts / np.maximum(rows, 1)[:, None]
        images += rows > 0
    return total / np.maximum(images, 1)[:, None]


@pytest.mark.parametrize('angles', [PUBLISHED_ANGLES, EVEN_ANGLES, (0.3, 1.1)])
@pytest.mark.parametrize('distances', [(1, 2), (3, ), (1, 40)])
def test_equals_scikit_image(angles, distances):
    maps = np.random.default_rng(0).integers(0, 6, (5, 12, 17))
    maps[2] = 3  # no neighbours at all
    cooccurrence = CoOccurrence(6, distances, angles)
    cooccurrence.update(maps[:2])
    cooccurrence.update(maps[2:])
    np.testing.assert_allclose(cooccurrence.matrix, reference(maps, 6, distances, angles), rtol=1e-12)


def test_more_than_256_clusters_in_several_chunks(monkeypatch):
    maps = np.random.default_rng(0).integers(0, 400, (4, 9, 9))
    whole = CoOccurrence(400)
    whole.update(maps)
    monkeypatch.setattr('leopart_mm.clustering.cooccurrence.MAX_CELLS', 1)
    chunked = CoOccurrence(400)
    chunked.update(maps)
    np.testing.assert_allclose(whole.matrix, chunked.matrix)
    assert whole.matrix[299:].any()


def test_hand_made_matrix_and_edges():
    cooccurrence = CoOccurrence(4, distances=(1, ), angles=(0, math.pi))
    cooccurrence.update(np.array([[[0, 1, 1, 2]], [[0, 1, 0, 0]]]))
    expected = [[0, 1, 0, 0], [.75, 0, .25, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(cooccurrence.matrix, expected)
    np.testing.assert_allclose(cooccurrence_edges(cooccurrence.matrix, 0.25), [[0, 1, .75], [1, 2, .25]])
    assert cooccurrence_edges(cooccurrence.matrix, 2).shape == (0, 3)


def test_offsets_are_rounded_as_in_scikit_image():
    assert pixel_offsets([1, 2], [4 * math.pi / 3]) == [(-1, -1), (-2, -1)]
    assert pixel_offsets([2], [math.pi / 4]) == [(1, 1)]


def test_bad_maps_are_refused():
    with pytest.raises(ValueError, match=r'0..2; they reach from 0 to 3'):
        CoOccurrence(3).update(np.array([[[0, 3]]]))
    with pytest.raises(ValueError, match='shape'):
        CoOccurrence(3).update(np.zeros((2, 2), int))
