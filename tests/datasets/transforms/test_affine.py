"""SegRandomAffine: what a rotation leaves empty, and draws that depend on the sample alone."""

import cv2
import numpy as np
import pytest

from leopart_mm.datasets.samplers.draw import Draw
from leopart_mm.datasets.transforms import SegRandomAffine
from leopart_mm.datasets.transforms.affine import affine_image, affine_map, affine_matrix


def sample(draw=None, **more):
    image = np.full((40, 60, 3), 200, np.uint8)
    results = dict(img=image, gt_seg_map=np.full((40, 60), 7, np.uint8), seg_fields=['gt_seg_map'], **more)
    return results if draw is None else dict(results, sample_idx=Draw(0, draw, seed=5))


@pytest.mark.parametrize('border', [255, 0])
def test_what_comes_from_outside_is_the_border(border):
    step = SegRandomAffine(rotation=0., scale=(0.5, 0.5), border=border)
    found = step(sample(draw=1))
    labels = found['gt_seg_map']
    assert found['img'].shape == (40, 60, 3)
    assert set(np.unique(labels)) == {7, border}
    inner = labels[10:30, 15:45] == 7
    assert inner.all()
    assert (labels == 7).sum() <= 21 * 31
    assert (found['img'][labels == border][:, 0] < 200).mean() > 0.9
    assert SegRandomAffine().border == 255, 'ignored by default; background is the published one'


def test_the_centre_stays_and_positive_angles_turn_counter_clockwise():
    labels = np.zeros((41, 41), np.uint8)
    labels[20, 40] = 1  # on the right
    turned = affine_map(labels, affine_matrix((41, 41), 90, 1.), 0)
    row, column = np.argwhere(turned)[0]
    assert row <= 1, 'goes to the top'
    assert abs(column - 20) <= 1
    np.testing.assert_array_equal(affine_map(labels, affine_matrix((41, 41), 0, 1.), 0), labels)


def test_draws_depend_on_the_sample_and_cover_the_range():
    step, seen = SegRandomAffine(), []
    for number in range(200):
        np.random.seed(number % 3)
        first = step.draw(sample(draw=number))
        np.random.seed(7)
        assert step.draw(sample(draw=number)) == first
        seen.append(first)
    angles, scales = np.array(seen).T
    assert -5 <= angles.min() < -4.5 < 4.5 < angles.max() <= 5
    assert 0.75 <= scales.min() < 0.78 < 1.22 < scales.max() <= 1.25


def test_many_bands_and_missing_pixels_go_along():
    image = np.random.default_rng(0).random((30, 20, 6)).astype(np.float32)
    matrix = affine_matrix((30, 20), 4., 0.9)
    found = affine_image(image, matrix)
    for band in range(6):
        single = cv2.warpAffine(image[..., band], matrix, (20, 30), flags=cv2.INTER_CUBIC)
        np.testing.assert_allclose(found[..., band], single, atol=1e-5)
    missing = np.zeros((40, 60), bool)
    results = SegRandomAffine(rotation=0., scale=(0.5, 0.5))(sample(draw=0, missing=missing))
    assert results['missing'].dtype == bool
    np.testing.assert_array_equal(results['missing'], results['gt_seg_map'] == 255)


@pytest.mark.parametrize('kwargs', [dict(rotation=-1), dict(scale=(0, 1)), dict(scale=(2, 1)), dict(border=256)])
def test_impossible_settings_are_refused(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        SegRandomAffine(**kwargs)
