"""Clusters of features of masks: what may not change them, and their names where the ground truth has gaps."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from leopart_mm.clustering.mask_clusters import cluster_features, name_clusters, unit_rows, whiten


def groups(seed=0, count=60, dims=8, number=4):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(number, dims)) * 6
    labels = np.arange(count) % number
    return (centres[labels] + rng.normal(size=(count, dims))).astype(np.float32), labels


def test_whitening_leaves_constant_dimensions_and_empty_rows_finite():
    features, _ = groups()
    features[:, 3] = 0.1
    features[7] = 0
    features[:, 5] = 0
    white = whiten(features)
    np.testing.assert_allclose(white.std(0)[[0, 1, 2, 4, 6, 7]], 1, rtol=1e-5)
    assert not white[:, 5].any()
    rows = unit_rows(white)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1)[:7], 1, rtol=1e-6)
    assert not rows[7].any()
    constant = np.full((9, 2), 0.1, np.float32)
    assert whiten(constant).tolist() == constant.tolist()


def test_groups_are_found_by_direction_whatever_the_scale_of_a_dimension_and_the_threads():
    features, labels = groups()
    found = cluster_features(features, 4)
    assert len(set(zip(found, labels, strict=True))) == 4
    scales = np.float32(2.) ** np.arange(-4, 4)
    assert cluster_features(features * scales, 4).tolist() == found.tolist()
    blurred = np.random.default_rng(1).normal(size=(3000, 16)).astype(np.float32)  # no groups: every rounding counts
    with threadpool_limits(limits=1):
        one = cluster_features(blurred, 20)
    with threadpool_limits(limits=3):
        assert cluster_features(blurred, 20).tolist() == one.tolist()
    assert cluster_features(blurred, 20, seed=1).tolist() != one.tolist()


@pytest.mark.parametrize(('number', 'value', 'words'), [
    (61, None, '60 masks cannot form 61 clusters'),
    (0, None, 'cannot form 0'),
    (4, np.nan, 'The feature of mask 5 is not finite'),
])
def test_what_cannot_be_clustered_is_refused(number, value, words):
    features, _ = groups()
    if value is not None:
        features[5, 1] = value
    with pytest.raises(ValueError, match=words):
        cluster_features(features, number)


def test_names_by_hand():
    clusters = np.array([0, 0, 0, 1, 1, 2, 2, 2, 0])
    targets = np.array([2, 2, 1, 2, 2, 0, 0, 1, -1])
    found = name_clusters(clusters, targets, 3, 3)  # both 0 and 1 are mostly of class 2: one of them must take 1
    assert (found.classes.tolist(), found.matched_by, found.empty) == ([1, 2, 0], 'hungarian', [])
    assert (found.samples, found.accuracy) == (8, 5 / 8)
    found = name_clusters(clusters, targets, 5, 3)  # more clusters than classes, and two of them without a target
    assert (found.classes.tolist(), found.matched_by, found.empty) == ([2, 2, 0, 2, 2], 'majority', [3, 4])
    assert found.accuracy == 6 / 8
    fewer = name_clusters(clusters, targets, 3, 6)
    assert fewer.matched_by == 'hungarian'
    assert len(set(fewer.classes)) == 3


@pytest.mark.parametrize(('clusters', 'targets', 'words'), [
    ([0, 1], [-1, -1], 'No mask has a ground-truth object'),
    ([0, 2], [0, 1], 'There is cluster 2, but only 0..1 exist'),
    ([0, 1], [0, 3], 'There is class 3, but only 0..1 exist'),
    ([0, 1], [0], 'do not belong together'),
])
def test_odd_targets_are_refused(clusters, targets, words):
    with pytest.raises(ValueError, match=words):
        name_clusters(np.array(clusters), np.array(targets), 2, 2)
