"""OHEM cross-entropy: which pixels count, and the same loss on any number of processes."""

import math

import pytest
import torch
import torch.nn.functional as F

from leopart_mm.models.losses import OHEMCrossEntropyLoss
from leopart_mm.models.losses.ohem import ohem_cross_entropy
from tests.distributed import run_distributed


def batch(images=4, ignored=0.3):
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(images, 5, 6, 7, generator=generator) * 2
    labels = torch.randint(0, 5, (images, 6, 7), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = 255
    return logits, labels


def test_the_share_is_that_of_all_pixels():
    # losses of two classes: log(1 + exp(-x)) for the right class ahead by x
    ahead = torch.tensor([[[3., 0.5, -1., 2., -2.]]])
    logits = torch.stack([ahead, torch.zeros_like(ahead)], 1)
    labels = torch.tensor([[[0, 0, 0, 0, 255]]])
    of = [math.log(1 + math.exp(-x)) for x in (3., 0.5, -1., 2.)]
    assert float(ohem_cross_entropy(logits, labels, 0.4)) == pytest.approx((of[2] + of[1]) / 2)  # 0.4 of 5, not of 4
    assert float(ohem_cross_entropy(logits, labels, 0.39)) == pytest.approx(of[2])
    assert float(ohem_cross_entropy(logits, labels, 1.)) == pytest.approx(sum(of) / 4), 'no more than have a label'


def test_no_label_gives_zero_and_a_gradient():
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    for labels, share in ((torch.full((2, 4, 4), 255), 0.2), (torch.zeros(2, 4, 4, dtype=torch.long), 0.01)):
        loss = ohem_cross_entropy(logits, labels, share)
        loss.backward()
        assert float(loss.detach()) == 0
        assert not logits.grad.any()


def test_half_precision_is_computed_in_full():
    logits, labels = batch()
    half = ohem_cross_entropy(logits.bfloat16(), labels)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, ohem_cross_entropy(logits.bfloat16().float(), labels))


def test_the_module_has_the_interface_of_mmseg():
    logits, labels = batch()
    loss = OHEMCrossEntropyLoss(share=0.5, loss_weight=2.)
    torch.testing.assert_close(loss(logits, labels), 2 * ohem_cross_entropy(logits, labels, 0.5))
    assert loss.loss_name.startswith('loss_')
    torch.testing.assert_close(loss(logits, labels.clamp(max=4), ignore_index=4),
                               2 * ohem_cross_entropy(logits, labels.clamp(max=4), 0.5, ignore=4))
    with pytest.raises(ValueError, match='sampler=None'):
        loss(logits, labels, weight=torch.ones(4, 6, 7))
    with pytest.raises(ValueError, match=r'share=0 must lie in \(0, 1\]'):
        OHEMCrossEntropyLoss(share=0)


def _part(joint, hard_first):
    """Loss and gradient of this process's half of the batch."""
    import torch.distributed as dist
    logits, labels = batch()
    if hard_first:  # all of the hardest pixels lie in one half
        logits[:2] *= 20
        labels[2:] = logits[2:].argmax(1)
    rows = slice(2 * dist.get_rank(), 2 * dist.get_rank() + 2)
    part = logits[rows].requires_grad_()
    loss = ohem_cross_entropy(part, labels[rows], 0.2, joint=joint)
    loss.backward()
    return loss.detach(), part.grad, logits.detach(), labels


@pytest.mark.parametrize('hard_first', [False, True])
def test_processes_choose_among_all_pixels(hard_first):
    """The mean over the processes, as gradients are averaged, is loss and gradient of the joint batch."""
    (first, first_grad, logits, labels), (second, second_grad, *_) = run_distributed(_part, 2, True, hard_first)
    whole = logits.clone().requires_grad_()
    loss = ohem_cross_entropy(whole, labels, 0.2)
    loss.backward()
    torch.testing.assert_close((first + second) / 2, loss.detach())
    torch.testing.assert_close(torch.cat([first_grad, second_grad]) / 2, whole.grad)
    assert not hard_first or not second_grad.any()
    (first, *_), (second, *_) = run_distributed(_part, 2, False, hard_first)
    expected = [ohem_cross_entropy(logits[rows], labels[rows], 0.2) for rows in (slice(2), slice(2, 4))]
    torch.testing.assert_close(torch.stack([first, second]), torch.stack(expected))


def test_the_gradient_is_one_over_m_of_the_chosen_pixels():
    logits, labels = batch(ignored=0.)
    logits.requires_grad_()
    ohem_cross_entropy(logits, labels, 0.1).backward()
    chosen = int(0.1 * labels.numel())
    touched = logits.grad.abs().sum(1) > 0
    assert int(touched.sum()) == chosen
    expected = (logits.detach().softmax(1) - F.one_hot(labels, 5).movedim(-1, 1)) / chosen
    torch.testing.assert_close(logits.grad.movedim(1, -1)[touched], expected.movedim(1, -1)[touched])
