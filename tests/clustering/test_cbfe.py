import numpy as np
import pytest
import torch

from leopart_mm.clustering.cbfe import cluster_precisions, image_precisions, jaccard, published_splits


def test_precision_is_the_mean_over_images_where_the_cluster_occurs():
    clusters = torch.tensor([[[0, 0], [1, 1]], [[0, 2], [2, 2]]])
    inside = torch.tensor([[[1, 0], [1, 1]], [[1, 0], [0, 1]]])
    np.testing.assert_allclose(cluster_precisions(clusters, inside, 4), [(.5 + 1) / 2, 1, 1 / 3, 0])
    parts = [image_precisions(clusters[i:i + 1], inside[i:i + 1], 4) for i in range(2)]
    np.testing.assert_allclose(sum(part[0] for part in parts) / sum(part[1] for part in parts).clamp(min=1),
                               cluster_precisions(clusters, inside, 4))


def test_jaccard_with_each_meaning_of_the_boundary():
    pred = torch.tensor([[[1, 1, 0, 0]]])
    gt = torch.tensor([[[3, 255, 255, 0]]])
    assert jaccard(pred, gt) == pytest.approx(2 / 3)
    assert jaccard(pred, gt, 'background') == pytest.approx(1 / 2)
    assert jaccard(pred, gt, 'ignore') == 1
    assert jaccard(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)) == 1
    with pytest.raises(ValueError, match="'ignore'"):
        jaccard(pred, gt, 'keep')


def test_the_best_split_comes_last():
    clusters = torch.arange(20).view(1, 4, 5)
    gt = (clusters >= 13).long()
    splits = published_splits(torch.linspace(0, 1, 20), clusters, gt)
    assert sorted(split.start for split in splits) == [11, 12, 13, 14]
    assert splits[-1].start == 13
    assert splits[-1].jaccard == 1
    assert splits[-1].precision == pytest.approx(13 / 19)
