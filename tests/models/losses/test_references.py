"""Where NeCo's references come from."""

import torch

from leopart_mm.geometry.crop_pairs import CropPairs
from leopart_mm.models.losses.draws import draw_permutations
from leopart_mm.models.losses.embedding_queue import QueueState
from leopart_mm.models.losses.references import batch_references, queue_references

WHOLE = torch.tensor([0., 0., 8., 8.])


def pairs_of(batch, num_global=2, num_crops=3):
    boxes = WHOLE.expand(batch, num_global, num_crops, 4)
    return CropPairs(boxes, boxes.transpose(1, 2), 4, kernel=2)


def test_orders_are_permutations_and_depend_on_seed_and_step_alone():
    orders = draw_permutations(3, 10, seed=1, step=5)
    assert all(row.sort().values.tolist() == list(range(10)) for row in orders)
    assert not torch.equal(orders[0], orders[1])
    torch.manual_seed(99)
    assert torch.equal(draw_permutations(3, 10, seed=1, step=5), orders)
    assert not torch.equal(draw_permutations(3, 10, seed=1, step=6), orders)
    assert not torch.equal(draw_permutations(3, 10, seed=2, step=5), orders)


def test_more_than_there_are_come_round_again():
    order, = draw_permutations(1, 4, seed=0, step=0, size=10)
    assert order[:4].sort().values.tolist() == order[4:8].sort().values.tolist() == [0, 1, 2, 3]
    assert len(order) == 10


def test_queue_rows_follow_the_crop_and_the_fill():
    rows = torch.arange(2 * 6, dtype=torch.float32).view(2, 6, 1)  # 0..5 and 6..11
    pairs = pairs_of(batch=2)
    orders = torch.tensor([[5, 4, 3, 2, 1, 0]]).repeat(len(pairs.pairs), 1)
    state = QueueState(rows, torch.tensor([6, 2]))
    references = queue_references(state, pairs, orders, num_references=2)
    assert references.shape == (4, 2, 2, 1)
    assert references[0].flatten().tolist() == [5, 4, 3, 2]
    assert references[2].flatten().tolist() == [7, 6, 7, 6]  # crop 1: only two rows are filled
    empty = queue_references(QueueState(torch.zeros_like(rows), torch.zeros(2, dtype=torch.long)), pairs, orders, 2)
    assert not empty.any()


def test_batch_references_deal_out_the_candidates():
    candidates = torch.arange(8, dtype=torch.float32).view(1, 2, 4, 1).requires_grad_()
    order = torch.tensor([[7, 0, 6, 1, 5, 2, 4, 3]])
    references, exist = batch_references(candidates, None, order, num_references=4)
    assert references.flatten().tolist() == [7, 0, 6, 1, 5, 2, 4, 3]
    assert exist.tolist() == [True]
    references.sum().backward()
    assert bool((candidates.grad == 1).all())


def test_masked_candidates_are_repeated():
    candidates = torch.arange(16, dtype=torch.float32).view(2, 2, 4, 1)
    usable = torch.zeros(2, 2, 4, dtype=torch.bool)
    usable[0, 0, 1] = usable[0, 1, 2] = usable[0, 1, 3] = True  # 1, 6, 7
    order = torch.arange(8).expand(2, 8)
    references, exist = batch_references(candidates, usable, order, num_references=4)
    assert references[0].flatten().tolist() == [1, 6, 7, 1, 6, 7, 1, 6]
    assert exist.tolist() == [True, False]
    assert bool(references.isfinite().all())


def test_another_number_of_references():
    candidates = torch.arange(8, dtype=torch.float32).view(1, 2, 4, 1)
    references, _ = batch_references(candidates, None, draw_permutations(1, 12, 0, 0), num_references=6)
    assert references.shape == (1, 2, 6, 1)
    assert set(references.flatten().tolist()) == set(range(8))
