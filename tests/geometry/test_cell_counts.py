import numpy as np
import pytest
import torch
from skimage.feature import graycomatrix

from leopart_mm.clustering.cbfe import image_precisions
from leopart_mm.clustering.cell_cooccurrence import CellCoOccurrence
from leopart_mm.clustering.cooccurrence import EVEN_ANGLES, PUBLISHED_ANGLES, CoOccurrence
from leopart_mm.geometry.cell_counts import cell_pairs, cell_weights
from leopart_mm.geometry.patch_grid import upsample_labels

EXTENTS = [None, (0.3, 5.8, 0., 6.25)]


def maps(count, clusters=7, grid=(6, 7), seed=0):
    return np.random.default_rng(seed).integers(0, clusters, (count, *grid))


@pytest.mark.parametrize('extent', EXTENTS)
@pytest.mark.parametrize('size', [(20, 23), (4, 3), None])
@pytest.mark.parametrize('angles', [PUBLISHED_ANGLES, EVEN_ANGLES])
def test_counting_cells_is_counting_pixels(extent, size, angles):
    clusters = maps(5)
    resized = clusters if size is None else upsample_labels(torch.from_numpy(clusters), size, extent, 'corner').numpy()
    slow = CoOccurrence(7, angles=angles)
    slow.update(resized)
    fast = CellCoOccurrence(7, angles=angles, size=size)
    fast.update(clusters[:2], extent)
    fast.update(clusters[2:], extent)
    np.testing.assert_allclose(fast.matrix, slow.matrix, atol=1e-12)
    assert fast.pixels.tolist() == np.bincount(resized.ravel(), minlength=7).tolist()


def test_matrix_equals_scikit_image():
    clusters = maps(3, clusters=5)
    counter = CellCoOccurrence(5, size=(17, 19))
    counter.update(clusters)
    total, images = np.zeros((5, 5)), np.zeros(5)
    for one in upsample_labels(torch.from_numpy(clusters), (17, 19), rule='corner').numpy():
        matrix = graycomatrix(one.astype(np.uint8), [1, 2], list(PUBLISHED_ANGLES), levels=5).sum((2, 3)).astype(float)
        np.fill_diagonal(matrix, 0)
        sums = matrix.sum(1, keepdims=True)
        total += np.divide(matrix, sums, out=np.zeros_like(matrix), where=sums > 0)
        images += sums[:, 0] > 0
    np.testing.assert_allclose(counter.matrix, total / np.maximum(images, 1)[:, None], atol=1e-12)


def test_more_than_256_clusters():
    clusters = np.arange(400).reshape(1, 20, 20)
    counter = CellCoOccurrence(400, distances=[1], size=None)
    counter.update(clusters)
    assert counter.matrix[399].nonzero()[0].tolist() == [378, 379, 398]
    assert counter.matrix.sum() == pytest.approx(400)


def test_merged_parts_are_the_whole():
    clusters = maps(6)
    whole, parts = CellCoOccurrence(7), [CellCoOccurrence(7) for _ in range(2)]
    whole.update(clusters)
    for part, own in zip(parts, (clusters[::2], clusters[1::2]), strict=True):
        part.update(own)
    merged = CellCoOccurrence(7)
    for part in parts:
        merged.merge(part.state())
    assert (merged.matrix == whole.matrix).all()
    assert (merged.pixels == whole.pixels).all()


def test_uniform_maps_have_no_neighbours():
    counter = CellCoOccurrence(3)
    counter.update(np.full((2, 4, 4), 2))
    assert not counter.matrix.any()
    assert counter.images.tolist() == [0, 0, 0]


@pytest.mark.parametrize(('clusters', 'message'), [(np.zeros((4, 4), int), 'shape'),
                                                   (np.full((1, 2, 2), 3), r'0\.\.2')])
def test_unusable_maps_are_refused(clusters, message):
    with pytest.raises(ValueError, match=message):
        CellCoOccurrence(3).update(clusters)


@pytest.mark.parametrize('extent', EXTENTS)
def test_weights_are_pixel_counts(extent):
    weights = cell_weights((6, 7), (100, 90), extent)
    cells = upsample_labels(torch.arange(42).view(6, 7), (100, 90), extent, 'corner')
    assert weights.tolist() == torch.bincount(cells.flatten(), minlength=42).tolist()
    assert weights.sum() == 9000


def test_pairs_by_hand():
    here, there, counts = cell_pairs((1, 2), ((0, 1), ), (2, 4))
    assert (here.tolist(), there.tolist(), counts.tolist()) == ([0], [1], [2.])


def test_precisions_with_weights_equal_those_of_pixels():
    generator = torch.Generator().manual_seed(0)
    clusters = torch.randint(0, 5, (4, 6, 7), generator=generator)
    masks = torch.randint(0, 2, (4, 6, 7), generator=generator).float()
    weights = torch.from_numpy(cell_weights((6, 7), (20, 30)).copy())
    ours = image_precisions(clusters, masks, 5, weights)
    pixels = [upsample_labels(maps, (20, 30), rule='corner') for maps in (clusters, masks)]
    reference = image_precisions(*pixels, 5)
    torch.testing.assert_close(ours[0], reference[0])
    assert ours[1].tolist() == reference[1].tolist()
