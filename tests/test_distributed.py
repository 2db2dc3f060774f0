"""The pool of gloo processes that other tests use."""

import pytest
import torch
import torch.distributed as dist

from tests.distributed import run_distributed


def _sum_over_ranks(value):
    total = torch.tensor([float(value + dist.get_rank())])
    dist.all_reduce(total)
    return dist.get_rank(), total.item()


def _fail_on_rank_one():
    if dist.get_rank() == 1:
        raise ValueError('rank one is unwell')
    dist.barrier()


@pytest.mark.slow
def test_results_come_in_order_of_rank_and_the_pool_is_reused():
    assert run_distributed(_sum_over_ranks, 2, 10) == [(0, 21.), (1, 21.)]
    assert run_distributed(_sum_over_ranks, 2, 0) == [(0, 1.), (1, 1.)]


@pytest.mark.slow
def test_an_error_of_one_rank_is_reported_and_the_next_call_works():
    with pytest.raises(RuntimeError, match=r'raised on rank 1(.|\n)*rank one is unwell'):
        run_distributed(_fail_on_rank_one, 2)
    assert run_distributed(_sum_over_ranks, 2, 1) == [(0, 3.), (1, 3.)]
