import copy
import itertools
import pickle

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, default_collate, worker_init_fn
from torch.utils.data import DataLoader

from leopart_mm.datasets.samplers import Draw, DrawSampler, InfiniteDrawSampler, sample_generator
from leopart_mm.datasets.transforms import DrawPhotometric, PackMultiCrop, RoIAlignedMultiCrop
from leopart_mm.registry import DATA_SAMPLERS


class Pictures(BaseDataset):
    """Seven pictures that a pipeline crops."""

    def load_data_list(self):
        return [dict(seed=seed) for seed in range(7)]


def read(results):
    results['img'] = np.random.RandomState(results['seed']).randint(0, 256, (40, 50, 3)).astype(np.uint8)
    return results


def pictures():
    pipeline = [read, RoIAlignedMultiCrop((2, 1), (16, 8), flip_prob=0.5), DrawPhotometric(), PackMultiCrop()]
    return Pictures(pipeline=pipeline)


def batches(sampler, num_workers, count):
    """The first batches of 3, in MMEngine's way of seeding workers."""
    torch.manual_seed(num_workers)
    loader = DataLoader(
        sampler.dataset, batch_size=3, sampler=sampler, num_workers=num_workers, collate_fn=default_collate,
        worker_init_fn=lambda worker: worker_init_fn(worker, num_workers, 0, 99), drop_last=True)
    return [batch['inputs'] for batch in itertools.islice(loader, count)]


def assert_same(ours, others):
    assert len(ours) == len(others) > 0
    for one, other in zip(ours, others, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one['crops'], other['crops'], strict=True))
        for key in ('gc_boxes', 'all_boxes', 'flipped', 'photometric'):
            assert torch.equal(one[key], other[key])


def infinite(start=0, seed=5):
    dataset = pictures()
    sampler = InfiniteDrawSampler(dataset, seed=seed)
    sampler.dataset, sampler.start = dataset, start
    return sampler


def test_a_draw_is_its_index_and_survives_copies():
    draw = Draw(4, number=30, seed=2)
    assert draw == 4
    assert [10, 11, 12, 13, 14][draw] == 14
    for same in (pickle.loads(pickle.dumps(draw)), copy.deepcopy(draw), draw.at(4)):
        assert (int(same), same.number, same.seed) == (4, 30, 2)
    assert draw.at(6) == 6
    assert draw.at(6).generator('a').random() == draw.generator('a').random()


def test_streams_draws_and_seeds_are_independent():
    draws = [Draw(0, number, seed).generator(stream).random()
             for number in range(3) for seed in range(3) for stream in ('crops', 'colours')]
    assert len(set(draws)) == len(draws)


def test_plain_indices_follow_numpys_seed():
    np.random.seed(0)
    one = [sample_generator(dict(sample_idx=3), 'a').random() for _ in range(2)]
    np.random.seed(0)
    assert one == [sample_generator({}, 'a').random() for _ in range(2)]
    assert one[0] != one[1]


def test_epochs():
    dataset = pictures()
    sampler = DATA_SAMPLERS.build(dict(type='leopart_mm.DrawSampler'), default_args=dict(dataset=dataset, seed=3))
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(first) == sorted(second) == list(range(7))
    assert [draw.number for draw in first + second] == list(range(14))
    assert {draw.seed for draw in first} == {3}


def test_infinite_passes():
    draws = list(itertools.islice(InfiniteDrawSampler(range(7), seed=1), 21))
    assert [draw.number for draw in draws] == list(range(21))
    passes = [[int(draw) for draw in draws[i:i + 7]] for i in (0, 7, 14)]
    assert all(sorted(one) == list(range(7)) for one in passes)
    assert passes[0] != passes[1]
    in_order = itertools.islice(InfiniteDrawSampler(range(3), shuffle=False, seed=1), 6)
    assert [int(draw) for draw in in_order] == [0, 1, 2] * 2
    with pytest.raises(ValueError, match='empty'):
        InfiniteDrawSampler([], seed=1)


@pytest.mark.parametrize('make', [InfiniteDrawSampler, DrawSampler])
def test_two_processes_share_the_draws_of_one(make, monkeypatch):
    def draws(rank, world, count):
        for module in ('leopart_mm.datasets.samplers.draw_sampler', 'mmengine.dataset.sampler'):
            monkeypatch.setattr(f'{module}.get_dist_info', lambda: (rank, world))
        sampler = make(range(8), seed=4)
        return [(int(draw), draw.number) for draw in itertools.islice(sampler, count)]

    together = [pair for pairs in zip(draws(0, 2, 4), draws(1, 2, 4), strict=True) for pair in pairs]
    assert together == draws(0, 1, 8)


@pytest.mark.slow
def test_any_number_of_workers_draws_the_same():
    alone = batches(infinite(), 0, 5)
    for num_workers in (1, 2):
        assert_same(batches(infinite(), num_workers, 5), alone)


@pytest.mark.slow
def test_resuming_goes_on_with_the_same_draws():
    whole = batches(infinite(), 0, 6)
    # MMEngine's loop goes through the batches of the past ...
    assert_same(batches(infinite(), 2, 6)[4:], whole[4:])
    # ... or the sampler leaves them out
    assert_same(batches(infinite(start=4 * 3), 1, 2), whole[4:])


@pytest.mark.slow
def test_resuming_at_an_epoch():
    def epoch(number, num_workers):
        dataset = pictures()
        sampler = DrawSampler(dataset, seed=8)
        sampler.set_epoch(number)
        return batches(sampler, num_workers, 2)

    assert_same(epoch(3, 0), epoch(3, 2))
    assert not torch.equal(epoch(3, 0)[0]['gc_boxes'], epoch(4, 0)[0]['gc_boxes'])
