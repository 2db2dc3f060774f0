import numpy as np
import pytest
import torch

from leopart_mm.clustering.foreground import (
    RULES,
    ForegroundCounts,
    agreement_threshold,
    chance_threshold,
    cluster_sizes,
    cut_agreement,
    otsu_threshold,
    precision_ranks,
    published_cuts,
    published_threshold,
)
from leopart_mm.geometry.cell_counts import pixels_per_cell
from leopart_mm.geometry.patch_grid import upsample_labels
from tests.clustering.foreground_reference import jaccard

# cluster: pixels inside / in all
INSIDE, SIZE = torch.tensor([1., 2., 9., 8.]), torch.tensor([50., 30., 12., 8.])
PRECISIONS = INSIDE / SIZE


def counts_of(clusters, masks, num_clusters):
    return ForegroundCounts.of_images(*cluster_sizes(clusters, masks, num_clusters))


def test_precision_is_the_mean_over_images_where_the_cluster_occurs():
    clusters = torch.tensor([[[0, 0], [1, 1]], [[0, 2], [2, 2]]])
    inside = torch.tensor([[[1, 0], [1, 1]], [[1, 0], [0, 1]]])
    whole = counts_of(clusters, inside, 4)
    np.testing.assert_allclose(whole.precisions, [(.5 + 1) / 2, 1, 1 / 3, 0])
    assert whole.occurrences.tolist() == [2, 1, 1, 0]
    assert whole.inside.tolist() == [2, 2, 1, 0]
    assert whole.size.tolist() == [3, 2, 3, 0]
    parts = counts_of(clusters[:1], inside[:1], 4) + counts_of(clusters[1:], inside[1:], 4)
    assert torch.equal(parts.precisions, whole.precisions)


def test_sizes_with_weights_equal_those_of_pixels():
    generator = torch.Generator().manual_seed(0)
    clusters = torch.randint(0, 5, (4, 6, 7), generator=generator)
    masks = torch.randint(0, 2, (4, 6, 7), generator=generator).float()
    weights = torch.from_numpy(pixels_per_cell((6, 7), (20, 30)).copy())
    found = cluster_sizes(clusters, masks, 5, weights)
    pixels = [upsample_labels(maps, (20, 30), rule='corner') for maps in (clusters, masks)]
    for ours, reference in zip(found, cluster_sizes(*pixels, 5), strict=True):
        torch.testing.assert_close(ours, reference)


@pytest.mark.parametrize('cluster', [-1, 3])
def test_ids_that_are_no_cluster_are_refused(cluster):
    with pytest.raises(ValueError, match=r'must lie in 0\.\.2'):
        cluster_sizes(torch.tensor([[[0, cluster]]]), torch.ones(1, 1, 2), 3)


def test_chance_is_the_share_of_the_masks():
    assert chance_threshold(PRECISIONS, INSIDE, SIZE) == pytest.approx(20 / 100)


def test_chance_always_leaves_a_cluster():
    assert chance_threshold(torch.tensor([0.1, 0.1]), torch.tensor([5., 5.]), torch.tensor([10., 10.])) == \
        pytest.approx(0.1)


def test_agreement_is_the_best_jaccard_of_all_cuts():
    threshold = agreement_threshold(PRECISIONS, INSIDE, SIZE)
    jaccards = []
    for start in range(4):
        inside, outside = INSIDE[start:].sum(), (SIZE - INSIDE)[start:].sum()
        jaccards.append(float(inside / (INSIDE.sum() + outside)))
    assert jaccards.index(max(jaccards)) == 2
    assert 2 / 30 < threshold < 9 / 12


def test_otsu_splits_two_groups():
    threshold = otsu_threshold(torch.tensor([0.9, 0.1, 0.12, 0.8]), INSIDE, SIZE)
    assert 0.12 < threshold < 0.8


@pytest.mark.parametrize('rule', RULES.values())
def test_order_of_clusters_does_not_matter(rule):
    order = torch.tensor([2, 0, 3, 1])
    assert rule(PRECISIONS[order], INSIDE[order], SIZE[order]) == pytest.approx(rule(PRECISIONS, INSIDE, SIZE))


@pytest.mark.parametrize('rule', RULES.values())
def test_a_single_cluster_is_foreground(rule):
    assert rule(torch.tensor([0.4]), torch.tensor([4.]), torch.tensor([10.])) == pytest.approx(0.4)


@pytest.mark.parametrize('rule', RULES.values())
def test_empty_masks_are_refused(rule):
    with pytest.raises(ValueError, match='No foreground'):
        rule(torch.zeros(3), torch.zeros(3), torch.ones(3))


def test_every_cut_at_once_equals_the_jaccard_of_each_mask():
    generator = torch.Generator().manual_seed(0)
    position = torch.randint(0, 6, (400, ), generator=generator)
    gt = torch.tensor([0, 0, 3, 255])[torch.randint(0, 4, (400, ), generator=generator)]
    expected = [jaccard((position >= start)[None], gt[None]) for start in range(6)]
    np.testing.assert_allclose(cut_agreement(position, gt, 6), expected, rtol=1e-12)
    empty = cut_agreement(torch.zeros(3, dtype=torch.long), torch.zeros(3, dtype=torch.long), 2)
    assert empty.tolist() == [0, 1]  # from cluster 1 on: no foreground on either side


def test_published_rule_takes_the_precision_at_the_best_cut():
    clusters = torch.arange(20).view(1, 4, 5)
    precisions = torch.linspace(0, 1, 20)
    cuts = published_cuts(20)
    assert list(cuts) == [11, 12, 13, 14]
    agreement = cut_agreement(precision_ranks(precisions)[clusters].flatten(), (clusters >= 13).long().flatten(), 20)
    assert agreement[13] == 1
    assert published_threshold(precisions, agreement[list(cuts)], cuts) == pytest.approx(0.7)  # 13 / 19 = 0.684
    with pytest.raises(ValueError, match='no cut to choose from for 20 clusters'):
        published_threshold(precisions, agreement[:0], published_cuts(20, (0.5, 0.51)))
