import pytest
import torch

from leopart_mm.clustering.foreground_threshold import RULES, agreement_threshold, chance_threshold, otsu_threshold

# cluster: pixels inside / in all
INSIDE, SIZE = torch.tensor([1., 2., 9., 8.]), torch.tensor([50., 30., 12., 8.])
PRECISIONS = INSIDE / SIZE


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
def test_one_cluster_is_foreground(rule):
    assert rule(torch.tensor([0.4]), torch.tensor([4.]), torch.tensor([10.])) == pytest.approx(0.4)


@pytest.mark.parametrize('rule', RULES.values())
def test_empty_masks_are_refused(rule):
    with pytest.raises(ValueError, match='No foreground'):
        rule(torch.zeros(3), torch.zeros(3), torch.ones(3))
