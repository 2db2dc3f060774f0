import math

import numpy as np
import pytest
import torch
from skimage.feature import graycomatrix

from leopart_mm.clustering.cooccurrence import PUBLISHED_ANGLES, CoOccurrence, cooccurrence_edges, pixel_offsets
from leopart_mm.geometry.patch_grid import upsample_labels

EVEN_ANGLES = tuple(math.pi * step / 4 for step in range(8))
EXTENTS = [None, (0.3, 5.8, 0., 6.25)]


def label_maps(count, clusters=7, grid=(6, 7)):
    return np.random.default_rng(0).integers(0, clusters, (count, *grid))


def reference(maps, clusters, distances=(1, 2), angles=PUBLISHED_ANGLES):
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
    maps = label_maps(5, 6, (12, 17))
    maps[2] = 3  # no neighbours at all
    cooccurrence = CoOccurrence(6, distances, angles, size=None)
    cooccurrence.update(maps[:2])
    cooccurrence.update(maps[2:])
    np.testing.assert_allclose(cooccurrence.matrix, reference(maps, 6, distances, angles), atol=1e-12)


@pytest.mark.parametrize('extent', EXTENTS)
@pytest.mark.parametrize('size', [(20, 23), (4, 3)])
@pytest.mark.parametrize('angles', [PUBLISHED_ANGLES, EVEN_ANGLES])
def test_counting_cells_is_counting_pixels(extent, size, angles):
    clusters = label_maps(5)
    resized = upsample_labels(torch.from_numpy(clusters), size, extent, 'corner').numpy()
    cooccurrence = CoOccurrence(7, angles=angles, size=size)
    cooccurrence.update(clusters[:2], extent)
    cooccurrence.update(clusters[2:], extent)
    np.testing.assert_allclose(cooccurrence.matrix, reference(resized, 7, angles=angles), atol=1e-12)
    assert cooccurrence.pixels.tolist() == np.bincount(resized.ravel(), minlength=7).tolist()


def test_more_than_256_clusters():
    cooccurrence = CoOccurrence(400, distances=[1], size=None)
    cooccurrence.update(np.arange(400).reshape(1, 20, 20))
    assert cooccurrence.matrix[399].nonzero()[0].tolist() == [378, 379, 398]
    assert cooccurrence.matrix.sum() == pytest.approx(400)


def test_chunks_do_not_matter(monkeypatch):
    maps = label_maps(4, 400, (9, 9))
    whole, chunked = CoOccurrence(400, size=None), CoOccurrence(400, size=None)
    whole.update(maps)
    monkeypatch.setattr('leopart_mm.clustering.cooccurrence.MAX_CELLS', 1)
    chunked.update(maps)
    np.testing.assert_allclose(whole.matrix, chunked.matrix)
    assert whole.matrix[299:].any()


def test_merged_parts_are_the_whole():
    clusters = label_maps(6)
    whole, merged = CoOccurrence(7), CoOccurrence(7)
    whole.update(clusters)
    for start in range(2):
        part = CoOccurrence(7)
        part.update(clusters[start::2])
        merged.merge(part.state())
    assert (merged.matrix == whole.matrix).all()
    assert (merged.pixels == whole.pixels).all()


def test_uniform_maps_have_no_neighbours():
    cooccurrence = CoOccurrence(3)
    cooccurrence.update(np.full((2, 4, 4), 2))
    assert not cooccurrence.matrix.any()
    assert cooccurrence.images.tolist() == [0, 0, 0]


def test_hand_made_matrix_and_edges():
    cooccurrence = CoOccurrence(4, distances=(1, ), angles=(0, math.pi), size=None)
    cooccurrence.update(np.array([[[0, 1, 1, 2]], [[0, 1, 0, 0]]]))
    expected = [[0, 1, 0, 0], [.75, 0, .25, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(cooccurrence.matrix, expected)
    np.testing.assert_allclose(cooccurrence_edges(cooccurrence.matrix, 0.25), [[0, 1, .75], [1, 2, .25]])
    assert cooccurrence_edges(cooccurrence.matrix, 2).shape == (0, 3)


def test_offsets_are_rounded_as_in_scikit_image():
    assert pixel_offsets([1, 2], [4 * math.pi / 3]) == [(-1, -1), (-2, -1)]
    assert pixel_offsets([2], [math.pi / 4]) == [(1, 1)]


@pytest.mark.parametrize(('maps', 'message'), [
    ([[[0, 3]]], r'0\.\.2; they reach from 0 to 3'),
    ([[[-1, 2]]], r'0\.\.2; they reach from -1 to 2'),  # would count for the last cluster of the image before
    ([[0, 1]], 'must have the shape'),
])
def test_bad_maps_are_refused(maps, message):
    cooccurrence = CoOccurrence(3)
    with pytest.raises(ValueError, match=message):
        cooccurrence.update(np.array(maps))
    assert not cooccurrence.pixels.any()
