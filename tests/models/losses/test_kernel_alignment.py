"""Centred kernel alignment: hand-computed, against its definition, invariances, and vectors that have no kernel."""

import pytest
import torch

from leopart_mm.models.losses.kernel_alignment import (
    centred,
    covariance_products,
    gram_products,
    linear_cka,
    relative_spread,
)
from tests.models.selfsup.plain import plain_cka


def vectors(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_by_hand():
    # Centred: (-1, 0, 1) and (-1, 2, -1), so K = a a^T and L = b b^T: <K, L> = (a.b)^2 = 0.
    a, b = torch.tensor([[0.], [1.], [2.]]), torch.tensor([[0.], [3.], [0.]])
    assert linear_cka(a, b).item() == pytest.approx(0, abs=1e-7)
    # (-1, 0, 1) and (-5, 1, 4) / 3: (a.b)^2 / (a.a b.b) = 3^2 / (2 * 42 / 9) = 27 / 28.
    assert linear_cka(a, torch.tensor([[0.], [2.], [3.]])).item() == pytest.approx(27 / 28, rel=1e-6)


@pytest.mark.parametrize(('n', 'd', 'e'), [(5, 12, 12), (40, 3, 3), (40, 3, 7), (2, 4, 1)])
def test_equals_its_definition_with_gradients(n, d, e):
    a, b = vectors(3, n, d).requires_grad_(), vectors(3, n, e, seed=1)
    found = linear_cka(a, b)
    plain = torch.stack([plain_cka(*pair) for pair in zip(a.double(), b.double(), strict=True)])
    torch.testing.assert_close(found.double(), plain, rtol=1e-5, atol=1e-6)
    # Of n = 2 vectors the kernels are alike up to scale: 1 whatever they are, and no gradient.
    weights = torch.tensor([1., -2., 0.5])
    ours, theirs = (torch.autograd.grad((one * weights).sum(), a)[0] for one in (found, plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert n > 2 or found.tolist() == pytest.approx([1, 1, 1])


def test_both_forms_agree():
    a, b = centred(vectors(4, 9, 6)), centred(vectors(4, 9, 5, seed=1))
    for gram, covariance in zip(gram_products(a, b), covariance_products(a, b), strict=True):
        torch.testing.assert_close(gram, covariance)


@pytest.mark.parametrize('n', [6, 60])  # either form
def test_scale_rotation_and_shift_change_nothing(n):
    a, b = vectors(n, 8), vectors(n, 8, seed=1)
    rotation = torch.linalg.qr(vectors(8, 8, seed=2))[0]
    expected = linear_cka(a, b)
    for changed in (a * 1e-4, a * 1e4, a @ rotation, a + vectors(8, seed=3), 3 * a @ rotation - 1):
        torch.testing.assert_close(linear_cka(changed, b), expected, rtol=1e-3, atol=0)
        torch.testing.assert_close(linear_cka(b, changed), expected, rtol=1e-3, atol=0)
        torch.testing.assert_close(linear_cka(changed, a), torch.ones(()), rtol=1e-4, atol=0)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(linear_cka(a[order], b[order]), expected)
    assert linear_cka(a[order], b) < expected + 0.2 < 1


@pytest.mark.parametrize('constant', [
    torch.zeros(5, 4), torch.ones(5, 4), torch.full((5, 4), 0.1), torch.full((5, 4), 1e-20), torch.full((5, 4), 1e8),
    torch.tensor([0.3, -0.1, 0.7, 1e3]).expand(5, 4)
], ids=['zero', 'one', 'tenth', 'tiny', 'huge', 'mixed'])
def test_constant_vectors_align_with_nothing(constant):
    a = constant.clone().requires_grad_()
    for alignment in (linear_cka(a, vectors(5, 4)), linear_cka(a, constant)):
        gradient, = torch.autograd.grad(alignment, a)
        assert alignment.item() == pytest.approx(0, abs=1e-3)
        assert gradient.isfinite().all()
        assert (gradient * constant.abs().max()).abs().max() < 1e-2


def test_a_single_vector_aligns_with_nothing():
    a = vectors(1, 4).requires_grad_()
    alignment = linear_cka(a, vectors(1, 4, seed=1))
    gradient, = torch.autograd.grad(alignment, a)
    assert alignment.item() == 0
    assert not gradient.any()


@pytest.mark.parametrize('d', [3, 12])  # either form
def test_vectors_that_do_not_count_are_left_out(d):
    a, b = vectors(2, 9, d).requires_grad_(), vectors(2, 9, d, seed=1)
    counts = torch.tensor([[True] * 6 + [False] * 3, [False] * 8 + [True]])
    found = linear_cka(a, b, counts)
    torch.testing.assert_close(found[0], linear_cka(a[0, :6], b[0, :6]))
    assert found[1] == 0  # one vector is left
    gradient, = torch.autograd.grad(found.sum(), a)
    assert not gradient[~counts].any()
    assert gradient[0, :6].any()
    torch.testing.assert_close(linear_cka(a, b, torch.ones(2, 9, dtype=torch.bool)), linear_cka(a, b))


def test_relative_spread_by_hand():
    # Mean (2, 0) of squares 1 and 9: 1 - 4 / 5. With all weight on one vector, or vectors of zeros, there is none.
    pair = torch.tensor([[1., 0.], [3., 0.]])
    assert relative_spread(pair, torch.ones(2)).item() == pytest.approx(0.2)
    assert relative_spread(pair, torch.tensor([0., 0.5])).item() == 0
    assert relative_spread(torch.zeros(2, 2), torch.ones(2)).item() == 0
    assert relative_spread(pair, torch.zeros(2)).item() == 0
