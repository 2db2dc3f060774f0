import itertools

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from leopart_mm.clustering.matching import (
    hungarian,
    hungarian_pixels,
    iou_matrix,
    many_to_one,
    match,
    precision_matrix,
    scores,
)


def table_of(pred, gt, clusters, classes):
    table = np.zeros((clusters, classes), np.int64)
    np.add.at(table, (pred, gt), 1)
    return table


def test_hand_computed_scores():
    table = np.array([[6, 0], [2, 2], [0, 0]])
    np.testing.assert_allclose(iou_matrix(table), [[6 / 8, 0], [2 / 10, 2 / 4], [0, 0]])
    np.testing.assert_allclose(precision_matrix(table), [[1, 0], [.5, .5], [0, 0]])
    assert many_to_one(table, 'precision').tolist() == [0, 0, 0]  # a tie, and an empty cluster: the lowest class
    assert many_to_one(table, 'iou').tolist() == [0, 1, 0]
    assert hungarian(table).tolist() == [0, 1, 0]
    result = scores(table, 'iou')
    assert result.tp.tolist() == [6, 2]
    assert result.fp.tolist() == [0, 2]
    assert result.fn.tolist() == [2, 0]
    assert result.miou == (6 / 8 + 2 / 4) / 2
    assert result.pixel_accuracy == .8
    assert result.background_share == 2 / 3
    assert scores(table, 'hungarian').background_share == .5


def test_hungarian_is_the_best_of_all_assignments():
    table = np.random.default_rng(0).integers(0, 50, (5, 5))
    iou = iou_matrix(table)
    best = max(sum(iou[row, column] for row, column in enumerate(order)) for order in itertools.permutations(range(5)))
    assert np.isclose(iou[np.arange(5), hungarian(table)].sum(), best)


def test_iou_equals_scikit_learn():
    rng = np.random.default_rng(0)
    pred, gt = rng.integers(0, 12, 2000), rng.integers(0, 4, 2000)
    result = scores(table_of(pred, gt, 12, 4), 'precision')
    np.testing.assert_allclose(result.iou, jaccard_score(gt, result.mapping[pred], average=None, labels=range(4)))


def test_absent_classes_count_in_one_mean_only():
    table = np.array([[4, 0, 0], [0, 4, 0]])
    result = scores(table, 'precision')
    assert result.miou == 2 / 3
    assert result.miou_occurring == result.miou_defined == 1
    predicted = scores(np.array([[4, 0, 0], [0, 4, 0], [1, 0, 0]]), 'direct')
    assert predicted.miou_occurring == (4 / 5 + 1) / 2
    assert predicted.miou_defined == (4 / 5 + 1 + 0) / 3
    nothing = scores(np.zeros((2, 3), int), 'precision')
    assert nothing.miou == 0
    assert np.isnan(nothing.miou_occurring)
    assert np.isnan(nothing.miou_defined)
    assert np.isnan(nothing.pixel_accuracy)


def test_hungarian_with_more_or_fewer_clusters():
    assert hungarian(np.array([[0, 9], [9, 0], [1, 1]])).tolist() == [1, 0, 0]
    assert hungarian(np.array([[0, 9, 1]])).tolist() == [1]


def test_hungarian_by_pixels_is_the_best_of_all_assignments():
    table = np.random.default_rng(1).integers(0, 50, (5, 5)) ** 2
    best = max(sum(table[row, column] for row, column in enumerate(order))
               for order in itertools.permutations(range(5)))
    mapping = match(table, 'hungarian_pixels')
    assert table[np.arange(5), mapping].sum() == best
    assert scores(table, 'hungarian_pixels').pixel_accuracy == best / table.sum()
    skewed = np.array([[90, 9], [75, 0]])  # 90 right pixels against 84, but IoUs of 0.52 and 0 against 0.09 and 0.45
    assert hungarian_pixels(skewed).tolist() == [0, 1]
    assert hungarian(skewed).tolist() == [1, 0]
    assert match(np.array([[0, 9, 1]]), 'hungarian_pixels').tolist() == [1]


def test_bad_matchings_are_named():
    with pytest.raises(ValueError, match='hungarian, hungarian_pixels, iou, precision, direct'):
        match(np.ones((2, 2)), 'best')
    with pytest.raises(ValueError, match='3 ids and 2 classes'):
        match(np.ones((3, 2)), 'direct')
    with pytest.raises(ValueError, match='clusters, classes'):
        scores(np.ones(3), 'direct')
    assert match(np.ones((2, 3)), 'direct').tolist() == [0, 1]
