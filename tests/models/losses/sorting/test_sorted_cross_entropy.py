"""The sorted cross-entropy equals autograd through the plain soft sort."""

import warnings

import pytest
import torch

from leopart_mm.models.losses.sorting.networks import sorting_network
from leopart_mm.models.losses.sorting.reference import permutation_cross_entropy, soft_sort
from leopart_mm.models.losses.sorting.relaxations import RELAXATIONS
from leopart_mm.models.losses.sorting.sorted_cross_entropy import compiled_layers, rows_per_chunk, sorted_cross_entropy


def random_rows(size, rows=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(size)
    student, teacher = torch.tanh(torch.randn(2, rows, size, generator=generator, dtype=dtype))
    student[0, 0] = student[0, -1]  # a tie
    teacher[1] = 0  # nothing but ties: references that are not there
    return student.requires_grad_(), teacher


def plain(student, teacher, network, steepness, relaxation, weights):
    P, Q = (soft_sort(one, network, s, relaxation)[1] for one, s in zip((student, teacher), steepness, strict=True))
    loss = permutation_cross_entropy(P, Q.detach(), weights)
    return loss, torch.autograd.grad(loss, student)[0]


def ours(student, teacher, network, steepness, relaxation, weights, **kwargs):
    losses, _ = sorted_cross_entropy(student, teacher, network, *steepness, relaxation, **kwargs)
    loss = (losses * weights).sum() / weights.sum()
    return loss, torch.autograd.grad(loss, student)[0]


def assert_same(ours, expected, tolerance):
    torch.testing.assert_close(ours[0], expected[0], rtol=tolerance, atol=0)
    torch.testing.assert_close(ours[1], expected[1], rtol=0, atol=tolerance * float(expected[1].abs().max()))


@pytest.mark.parametrize('relaxation', RELAXATIONS)
@pytest.mark.parametrize(('kind', 'size'), [('bitonic', 2), ('bitonic', 9), ('bitonic', 22), ('odd_even', 7)])
@pytest.mark.parametrize('chunk', [2, 100])
def test_equals_autograd_of_the_plain_sort(relaxation, kind, size, chunk):
    rows, network = random_rows(size), sorting_network(kind, size)
    arguments = *rows, network, (20., 50.), relaxation, torch.tensor([1., 0.5, 0., 2., 1.], dtype=torch.float64)
    assert_same(ours(*arguments, chunk=chunk), plain(*arguments), 1e-9)


@pytest.mark.parametrize('kind', ['bitonic', 'odd_even'])
@pytest.mark.parametrize('steepness', [(10., 100.), (100., 100.)])
def test_equals_it_in_float32_at_neco_size(kind, steepness):
    rows, network = random_rows(49, rows=8, dtype=torch.float32), sorting_network(kind, 49)
    arguments = *rows, network, steepness, 'cauchy', torch.ones(8)
    assert_same(ours(*arguments), plain(*arguments), 2e-5)


def test_published_steepness_1000_stays_finite_and_right():
    student, teacher = random_rows(49)
    network, weights = sorting_network('odd_even', 49), torch.ones(5)
    exact = ours(student, teacher, network, (1000., 1000.), 'cauchy', weights)
    student32 = student.detach().float().requires_grad_()
    single = ours(student32, teacher.float(), network, (1000., 1000.), 'cauchy', weights)
    torch.testing.assert_close(single[0].double(), exact[0].double(), rtol=1e-5, atol=0)
    torch.testing.assert_close(single[1].double(), exact[1].double(), rtol=0, atol=1e-3 * float(exact[1].abs().max()))


def test_entropy_is_the_loss_of_a_perfect_student():
    _, teacher = random_rows(9)
    network = sorting_network('bitonic', 9)
    losses, entropy = sorted_cross_entropy(teacher, teacher, network, 30.)
    torch.testing.assert_close(losses, entropy)
    losses, entropy = sorted_cross_entropy(random_rows(9)[0], teacher, network, 30.)
    assert bool((losses > entropy - 1e-12).all())
    assert losses.requires_grad
    assert not entropy.requires_grad


def test_without_gradient_only_numbers_are_computed():
    student, teacher = random_rows(9)
    network = sorting_network('bitonic', 9)
    with torch.no_grad():
        losses, _ = sorted_cross_entropy(student, teacher, network, 30.)
    torch.testing.assert_close(losses, sorted_cross_entropy(student, teacher, network, 30.)[0].detach())
    assert sorted_cross_entropy(student[:0], teacher[:0], network, 30.)[0].shape == (0, )


def test_keeps_a_twentieth_of_the_memory_of_the_layers():
    """For backward: one number a similarity. Layer by layer it is some 230 kB a row of 49."""
    student, teacher = random_rows(49, rows=64, dtype=torch.float32)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda one: kept.append(one) or one, lambda one: one):
        losses, _ = sorted_cross_entropy(student, teacher, sorting_network('bitonic', 49), 100.)
    assert sum(one.numel() * one.element_size() for one in kept) == 64 * 49 * 4
    losses.sum().backward()


def test_half_precision_is_computed_in_float32():
    rows = [one.detach().float() for one in random_rows(9)]
    network = sorting_network('bitonic', 9)
    expected, _ = sorted_cross_entropy(*rows, network, 100.)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(sorted_cross_entropy(*rows, network, 100.)[0], expected)
        losses, _ = sorted_cross_entropy(*(one.bfloat16() for one in rows), network, 100.)
    assert losses.dtype == torch.float32


def test_chunks_follow_the_memory_of_a_row():
    rows = {size: rows_per_chunk(sorting_network('bitonic', size), torch.zeros(1)) for size in (9, 49, 196)}
    assert rows[9] > 1000 > rows[49] > 16 > rows[196] >= 1


def test_nan_goes_through():
    student, teacher = random_rows(9)
    student.data[2, 3] = torch.nan
    losses, _ = sorted_cross_entropy(student, teacher, sorting_network('bitonic', 9), 30.)
    assert losses.isnan().tolist() == [False, False, True, False, False]


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r'must both be \(rows, 9\).*\(5, 7\) and \(5, 7\)'):
        sorted_cross_entropy(*random_rows(7), sorting_network('bitonic', 9), 1.)


def test_where_compilation_fails_plain_operations_do_the_work(monkeypatch):
    def refuse(function, **kwargs):
        def fail(*args, **kwargs):
            raise RuntimeError('no compiler')
        return fail

    monkeypatch.setattr(torch, 'compile', refuse)
    compiled_layers.cache_clear()
    rows, network = random_rows(9), sorting_network('bitonic', 9)
    with pytest.warns(UserWarning, match='torch.compile of a layer .* failed'):
        losses, _ = sorted_cross_entropy(*rows, network, 30., compiled=True)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        again, _ = sorted_cross_entropy(*rows, network, 30., compiled=True)
    compiled_layers.cache_clear()
    assert torch.equal(losses, sorted_cross_entropy(*rows, network, 30.)[0])
    assert torch.equal(losses, again)


@pytest.mark.slow
def test_compiled_layers_give_the_same(monkeypatch):
    compiler = torch.compile
    monkeypatch.setattr(torch, 'compile', lambda function, **kwargs: compiler(function, backend='aot_eager', **kwargs))
    compiled_layers.cache_clear()
    arguments = *random_rows(9), sorting_network('bitonic', 9), (20., 50.), 'cauchy', torch.ones(5)
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        result = ours(*arguments, compiled=True)
    compiled_layers.cache_clear()
    assert_same(result, ours(*arguments), 1e-9)
