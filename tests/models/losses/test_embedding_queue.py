"""The queue of teacher embeddings."""

import pytest
import torch
import torch.distributed as dist

from leopart_mm.models.losses import EmbeddingQueue
from tests.distributed import run_distributed


def _tokens(step, batch=2, tokens=4):
    """(1, batch, tokens, 1): 100·step + number of the token."""
    return (100. * step + torch.arange(batch * tokens)).view(1, batch, tokens, 1)


def test_newest_rows_stand_in_front_and_the_oldest_fall_off():
    queue = EmbeddingQueue(5, 1, num_queues=1, per_image=1)
    order = torch.arange(8)[None]
    for step in (1, 2, 3):
        queue.push(_tokens(step), order=order)
        assert queue.fill.item() == min(2 * step, 5)
        assert bool(queue.share()[1].all()) == (step == 3)
    assert queue.rows.flatten().tolist() == [300., 301., 200., 201., 100.]


def test_fewer_masked_tokens_than_slots_push_only_these():
    queue = EmbeddingQueue(6, 1, num_queues=1, per_image=2)
    queue.push(_tokens(1), order=torch.arange(8)[None])
    valid = torch.zeros(1, 2, 4, dtype=torch.bool)
    valid[0, 1, 2] = True
    queue.push(_tokens(2), valid)
    assert queue.rows.flatten().tolist() == [206., 100., 101., 102., 103., 0.]
    assert queue.fill.item() == 5
    queue.push(_tokens(3), torch.zeros_like(valid))
    assert queue.fill.item() == 5
    assert queue.rows.flatten().tolist() == [206., 100., 101., 102., 103., 0.]


def test_partial_use_offers_the_filled_rows_only():
    queue = EmbeddingQueue(6, 1, num_queues=1, per_image=1, partial=True)
    queue.push(_tokens(1))
    assert queue.share()[1].tolist() == [[True, True, False, False, False, False]]


def test_the_random_choice_depends_on_seed_and_step_alone():
    first, second = (EmbeddingQueue(8, 1, num_queues=1, per_image=2, seed=3) for _ in range(2))
    first.push(_tokens(1))
    second.load_state_dict(first.state_dict())
    torch.manual_seed(123)
    first.push(_tokens(2))
    second.push(_tokens(2))
    assert torch.equal(first.rows, second.rows)
    assert len(set(first.rows.flatten().tolist())) == 8


def test_impossible_length_is_refused():
    with pytest.raises(ValueError, match='at least 1 row'):
        EmbeddingQueue(0, 4)


def _push_part(embeddings, valid):
    queue = EmbeddingQueue(7, embeddings.shape[-1], num_queues=embeddings.shape[0], per_image=1)
    rank, world = dist.get_rank(), dist.get_world_size()
    for step in range(3):
        queue.push(embeddings.chunk(world, 1)[rank] + step, valid.chunk(world, 1)[rank])
    return queue.rows, queue.fill, queue.share()[0]


@pytest.mark.slow
def test_two_processes_hold_the_queue_of_one():
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(2, 4, 5, 3, generator=generator)
    valid = torch.rand(2, 4, 5, generator=generator) < 0.3
    alone = EmbeddingQueue(7, 3, num_queues=2, per_image=1)
    for step in range(3):
        alone.push(embeddings + step, valid)
    results = run_distributed(_push_part, 2, embeddings, valid)
    for rows, fill, _ in results:
        assert torch.equal(rows, alone.rows)
        assert torch.equal(fill, alone.fill)
    shares = torch.cat([share for _, _, share in results], 1)
    assert sorted(shares.flatten().tolist()) == sorted(alone.rows.flatten().tolist())
