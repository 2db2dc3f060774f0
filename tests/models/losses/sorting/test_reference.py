"""Relaxations, the plain soft sort, similarities and the cross-entropy of permutations."""

import math

import pytest
import torch

from leopart_mm.models.losses.sorting.networks import sorting_network
from leopart_mm.models.losses.sorting.reference import permutation_cross_entropy, similarities, soft_sort
from leopart_mm.models.losses.sorting.relaxations import RELAXATIONS, check_relaxation

POINTS = torch.tensor([-3., -0.3, -0.02, 0., 1e-4, 0.02, 0.24, 0.26, 2.], dtype=torch.float64)


@pytest.mark.parametrize('name', RELAXATIONS)
def test_relaxations_are_soft_steps_with_the_right_slope(name):
    one = RELAXATIONS[name]
    d = POINTS.clone().requires_grad_()
    alpha = one.order(d, 1.3)
    assert bool(((alpha >= 0) & (alpha <= 1)).all())
    torch.testing.assert_close(alpha + one.order(-d, 1.3), torch.ones_like(alpha))
    assert bool((alpha.diff() > 0).all())
    expected, = torch.autograd.grad(alpha.sum(), d)
    torch.testing.assert_close(one.slope(d.detach(), 1.3, alpha.detach()), expected)


def test_relaxations_by_hand():
    half = torch.tensor(0.5, dtype=torch.float64)
    values = {name: float(RELAXATIONS[name].order(half, 2.)) for name in RELAXATIONS}
    expected = dict(cauchy=0.75, logistic=1 / (1 + math.exp(-1)), logistic_phi=1 / (1 + math.exp(-1 / 0.5**0.25)),
                  gaussian=0.8413447460685429, reciprocal=2 / 3, optimal=1 - 1 / 16)
    assert values == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"choose one of.*'cauchy'"):
        check_relaxation('linear')


@pytest.mark.parametrize('relaxation', RELAXATIONS)
@pytest.mark.parametrize(('kind', 'size'), [('bitonic', 9), ('bitonic', 22), ('odd_even', 7)])
def test_permutations_are_doubly_stochastic_and_sort(relaxation, kind, size):
    values = torch.randn(3, 2, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ranked, matrix = soft_sort(values, sorting_network(kind, size), 5., relaxation)
    ones = torch.ones(3, 2, size, dtype=torch.float64)
    torch.testing.assert_close(matrix.sum(-1), ones)
    torch.testing.assert_close(matrix.sum(-2), ones)
    torch.testing.assert_close((values.unsqueeze(-2) @ matrix).squeeze(-2), ranked)
    hard, places = soft_sort(values, sorting_network(kind, size), 1e9, relaxation)
    torch.testing.assert_close(hard, values.sort().values, rtol=0, atol=1e-3)
    assert torch.equal(places.argmax(-2), values.argsort())


def test_sizes_must_agree():
    with pytest.raises(ValueError, match='5 values to sort, but the network sorts 4'):
        soft_sort(torch.zeros(2, 5), sorting_network('bitonic', 4), 1.)


def test_similarities():
    queries = torch.tensor([[3., 4.], [0., 0.]])
    references = torch.tensor([[1., 0.], [0., 2.], [0., 0.]])
    torch.testing.assert_close(similarities(queries, references), torch.tensor([[0.6, 0.8, 0.], [0., 0., 0.]]))
    torch.testing.assert_close(
        similarities(queries, references, 'euclidean'),
        torch.tensor([[20**0.5, 13**0.5, 5.], [1., 2., 0.]]))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert similarities(queries.bfloat16(), references).dtype == torch.float32
    with pytest.raises(ValueError, match=r"choose one of.*'euclidean'"):
        similarities(queries, references, 'dot')


def test_cross_entropy_by_hand():
    uniform, certain = torch.full((2, 2, 2), 0.5), torch.eye(2).expand(2, 2, 2)
    assert permutation_cross_entropy(uniform, certain).item() == pytest.approx(math.log(2))
    assert permutation_cross_entropy(certain, certain).item() == 0
    mixed = torch.stack([uniform[0], certain[0]])
    assert permutation_cross_entropy(mixed, certain, torch.tensor([1., 3.])).item() == pytest.approx(math.log(2) / 4)
    assert permutation_cross_entropy(mixed, certain, torch.zeros(2)).item() == 0
    assert math.isfinite(permutation_cross_entropy(certain, uniform).item())
