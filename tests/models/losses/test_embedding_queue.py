"""The queue of teacher embeddings."""

import pytest
import torch
import torch.distributed as dist

from leopart_mm.models.losses import EmbeddingQueue
from leopart_mm.models.losses.draws import draw_permutations
from tests.distributed import run_distributed


def _tokens(step, batch=2, tokens=4):
    """(1, batch, tokens, 1): 100·step + number of the token."""
    return (100. * step + torch.arange(batch * tokens)).view(1, batch, tokens, 1)


def push(queue, embeddings, valid=None, order=None):
    """A whole step: stage, then commit."""
    queue.stage(embeddings, valid, order)
    queue.commit()


def test_newest_rows_are_in_front_and_the_oldest_fall_off():
    queue = EmbeddingQueue(5, 1, num_queues=1, per_image=1)
    order = torch.arange(8)[None]
    for step in (1, 2, 3):
        push(queue, _tokens(step), order=order)
        assert queue.fill.item() == min(2 * step, 5)
        assert bool(queue.share()[1].all()) == (step == 3)
    assert queue.rows.flatten().tolist() == [300., 301., 200., 201., 100.]


def test_fewer_masked_tokens_than_slots_push_only_these():
    queue = EmbeddingQueue(6, 1, num_queues=1, per_image=2)
    push(queue, _tokens(1), order=torch.arange(8)[None])
    valid = torch.zeros(1, 2, 4, dtype=torch.bool)
    valid[0, 1, 2] = True
    push(queue, _tokens(2), valid)
    assert queue.rows.flatten().tolist() == [206., 100., 101., 102., 103., 0.]
    assert queue.fill.item() == 5
    push(queue, _tokens(3), torch.zeros_like(valid))
    assert queue.fill.item() == 5
    assert queue.rows.flatten().tolist() == [206., 100., 101., 102., 103., 0.]


def test_partial_use_offers_the_filled_rows_only():
    queue = EmbeddingQueue(6, 1, num_queues=1, per_image=1, partial=True)
    push(queue, _tokens(1))
    assert queue.share()[1].tolist() == [[True, True, False, False, False, False]]


def test_the_random_choice_depends_on_seed_and_step_alone():
    first, second = (EmbeddingQueue(8, 1, num_queues=1, per_image=2, seed=3) for _ in range(2))
    push(first, _tokens(1))
    second.load_state_dict(first.state_dict())
    torch.manual_seed(123)
    push(first, _tokens(2))
    push(second, _tokens(2))
    assert torch.equal(first.rows, second.rows)
    assert len(set(first.rows.flatten().tolist())) == 8


def test_a_step_sees_the_queue_as_it_was_until_it_is_committed():
    queue = EmbeddingQueue(6, 1, num_queues=1, per_image=1, partial=True)
    push(queue, _tokens(1), order=torch.arange(8)[None])
    staged = queue.stage(_tokens(2), order=torch.arange(8)[None])
    assert staged.rows.flatten().tolist() == [200., 201., 100., 101., 0., 0.]
    assert staged.fill.tolist() == [4]
    assert queue.rows.flatten().tolist() == [100., 101., 0., 0., 0., 0.]
    assert queue.state.fill.tolist() == [2]
    queue.commit()
    assert torch.equal(queue.rows, staged.rows)
    queue.commit()  # nothing is staged any more
    assert (queue.fill.tolist(), queue.pushes) == ([4], 2)


def test_evaluation_neither_shows_nor_pushes_its_tokens():
    queue = EmbeddingQueue(6, 1, num_queues=1, per_image=1)
    push(queue, _tokens(1))
    before = {name: value.clone() for name, value in queue.state_dict().items()}
    queue.eval()
    seen = queue.stage(_tokens(2))
    queue.commit()
    assert torch.equal(seen.rows, before['rows'])
    assert all(torch.equal(value, before[name]) for name, value in queue.state_dict().items())


def test_counters():
    tokens = torch.randn(2, 3, 5, 4)
    each, shared = (EmbeddingQueue(20, 4, per_image=2, counting=counting) for counting in ('each', 'shared'))
    for queue, fills in ((each, (6, 12, 18, 20)), (shared, (12, 20, 20, 20))):
        for fill in fills:
            push(queue, tokens)
            assert queue.fill.tolist() == [fill, fill]
    assert torch.equal(each.rows, shared.rows)


def test_the_number_of_pushes_is_no_buffer_but_lies_in_the_checkpoint():
    queue, resumed = (EmbeddingQueue(6, 1, num_queues=1, per_image=1) for _ in range(2))
    for _ in range(3):
        push(queue, _tokens(1))
    assert set(dict(queue.named_buffers())) == {'rows', 'fill'}  # a buffer would follow the model to the GPU
    state = queue.state_dict()
    assert torch.equal(state['pushes'], torch.tensor(3))
    resumed.load_state_dict(state)
    assert (resumed.pushes, type(resumed.pushes)) == (3, int)
    assert 'pushes' in state
    del state['pushes']
    with pytest.raises(RuntimeError, match=r'Missing key.*"pushes"'):
        resumed.load_state_dict(state)


def test_permutations_are_those_of_the_seed_and_the_step():
    """The numbers that checkpoints written before rely on."""
    expected = torch.randperm(5, generator=torch.Generator().manual_seed(3 * 1_000_003 + 7))
    assert torch.equal(draw_permutations(2, 5, seed=3, step=7)[0], expected)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match='at least 1 row'):
        EmbeddingQueue(0, 4)
    with pytest.raises(ValueError, match=r"choose one of.*'each'"):
        EmbeddingQueue(20, 4, counting='twice')


def _push_part(embeddings, valid):
    queue = EmbeddingQueue(7, embeddings.shape[-1], num_queues=embeddings.shape[0], per_image=1)
    rank, world = dist.get_rank(), dist.get_world_size()
    for step in range(3):
        push(queue, embeddings.chunk(world, 1)[rank] + step, valid.chunk(world, 1)[rank])
    return queue.rows, queue.fill, queue.share()[0]


@pytest.mark.slow
def test_two_processes_hold_the_queue_of_one():
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(2, 4, 5, 3, generator=generator)
    valid = torch.rand(2, 4, 5, generator=generator) < 0.3
    alone = EmbeddingQueue(7, 3, num_queues=2, per_image=1)
    for step in range(3):
        push(alone, embeddings + step, valid)
    results = run_distributed(_push_part, 2, embeddings, valid)
    for rows, fill, _ in results:
        assert torch.equal(rows, alone.rows)
        assert torch.equal(fill, alone.fill)
    shares = torch.cat([share for _, _, share in results], 1)
    assert sorted(shares.flatten().tolist()) == sorted(alone.rows.flatten().tolist())
