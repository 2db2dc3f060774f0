"""Sinkhorn-Knopp: invariants, extreme scores, several processes."""

import pytest
import torch
import torch.distributed as dist

from leopart_mm.models.losses import sinkhorn
from tests.distributed import run_distributed


def _reference(scores, epsilon, iterations):
    """The textbook way in float64: scale the matrix itself."""
    matrix = (scores.double() / epsilon).exp()
    for _ in range(iterations):
        matrix = matrix / matrix.sum(0, keepdim=True)
        matrix = matrix / matrix.sum(1, keepdim=True)
    return matrix


@pytest.mark.parametrize(('tokens', 'prototypes'), [(40, 7), (5, 30), (1, 4), (9, 9)])
@pytest.mark.parametrize('iterations', [1, 3, 10])
def test_equals_the_textbook(tokens, prototypes, iterations):
    scores = torch.randn(tokens, prototypes, generator=torch.Generator().manual_seed(0))
    expected = _reference(scores, 0.05, iterations)
    torch.testing.assert_close(sinkhorn(scores, 0.05, iterations).double(), expected, rtol=1e-4, atol=1e-6)


def test_many_iterations_use_all_prototypes_equally():
    scores = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    assignments = sinkhorn(scores, 0.5, 200)
    torch.testing.assert_close(assignments.sum(0), torch.full((6, ), 10.), rtol=1e-4, atol=0)
    torch.testing.assert_close(assignments.sum(1), torch.ones(60))


@pytest.mark.parametrize('scale', [5., 100., 1e4])
def test_scores_that_overflow_exp_stay_finite(scale):
    scores = torch.randn(50, 8, generator=torch.Generator().manual_seed(0)) * scale
    assignments = sinkhorn(scores)
    assert torch.isfinite(assignments).all()
    torch.testing.assert_close(assignments.sum(1), torch.ones(50))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    scores = torch.randn(30, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assignments = sinkhorn(scores)
    assert assignments.dtype == torch.float32
    torch.testing.assert_close(assignments, sinkhorn(scores.float()))


def test_rows_that_are_not_valid_have_no_influence():
    scores = torch.randn(2, 20, 5, generator=torch.Generator().manual_seed(0))
    scores[:, :8] *= 50
    valid = torch.ones(2, 20, dtype=torch.bool)
    valid[:, :8] = False
    torch.testing.assert_close(sinkhorn(scores, valid=valid)[:, 8:], sinkhorn(scores[:, 8:]))


def test_no_iterations_is_a_softmax_and_epsilon_must_be_positive():
    scores = torch.randn(4, 3)
    torch.testing.assert_close(sinkhorn(scores, 0.1, 0), (scores / 0.1).softmax(-1))
    with pytest.raises(ValueError, match='epsilon > 0'):
        sinkhorn(scores, 0.)


def _sinkhorn_of_part(scores):
    return sinkhorn(scores.tensor_split(dist.get_world_size())[dist.get_rank()])


@pytest.mark.slow
def test_two_processes_equal_one_even_with_unequal_parts():
    scores = torch.randn(31, 9, generator=torch.Generator().manual_seed(0)) * 2
    parts = run_distributed(_sinkhorn_of_part, 2, scores)
    torch.testing.assert_close(torch.cat(parts), sinkhorn(scores), rtol=1e-5, atol=1e-7)
