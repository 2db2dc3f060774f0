"""The EMA teacher moves once per step of the optimiser, by the momentum of the step."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper

from leopart_mm.engine.hooks import SelfSupStepHook
from leopart_mm.engine.hooks.self_sup_step_hook import cosine_value
from leopart_mm.registry import HOOKS
from tests.models.selfsup.builders import random_batch, tiny_leopart


def _copies(parameters):
    return [one.detach().clone() for one in parameters]


@pytest.mark.parametrize('before_optimizer', [False, True])
def test_teacher_follows_the_right_weights(before_optimizer):
    model = tiny_leopart()
    optimizer = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=0.1)
    hook = SelfSupStepHook(0.9, before_optimizer=before_optimizer)
    hook.attach(model, optimizer)
    teacher, student = model.teacher_student_pairs()
    old_teacher, old_student = _copies(teacher), _copies(student)
    model(random_batch(2), mode='loss')['loss'].backward()
    optimizer.step()
    followed = old_student if before_optimizer else _copies(student)
    for now, before, target in zip(teacher, old_teacher, followed, strict=True):
        torch.testing.assert_close(now, 0.9 * before + 0.1 * target)


def test_accumulated_gradients_move_the_teacher_once_a_step():
    model = tiny_leopart()
    hook = SelfSupStepHook(0.9)
    optimizer = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=0.1)
    wrapper = OptimWrapper(optimizer, accumulative_counts=4)
    wrapper.initialize_count_status(model, 0, 8)
    hook.attach(model, optimizer)
    teacher, _ = model.teacher_student_pairs()
    moved = []
    for seed in range(8):
        before = _copies(teacher)
        model.train_step(dict(inputs=random_batch(2, seed)), wrapper)
        moved.append(any(not torch.equal(one, old) for one, old in zip(teacher, before, strict=True)))
    assert moved == [False, False, False, True] * 2


def test_a_step_that_mixed_precision_skips_moves_nothing():
    model = tiny_leopart()
    student = [one for one in model.parameters() if one.requires_grad]
    hook = SelfSupStepHook(0.9)
    for fused in (False, True):
        optimizer = torch.optim.AdamW(student, lr=0.1, fused=fused)
        hook.attach(model, optimizer)
        scaler = torch.amp.GradScaler('cpu')
        model.zero_grad()
        scaler.scale(model(random_batch(2), mode='loss')['loss']).backward()
        student[0].grad.fill_(torch.inf)
        before = _copies(model.teacher_student_pairs()[0])
        scaler.step(optimizer)
        scaler.update()
        for now, old in zip(model.teacher_student_pairs()[0], before, strict=True):
            assert torch.equal(now, old)


def test_momentum_follows_the_iterations_and_prototypes_are_unit_vectors():
    model = tiny_leopart()
    hook = SelfSupStepHook(0.5, 1.0)
    with torch.no_grad():
        model.head.prototypes.weight.mul_(3)
    for step, momentum in ((0, 0.5), (5, 0.75), (10, 1.0)):
        hook.before_train_iter(SimpleNamespace(model=model, iter=step, max_iters=10), 0)
        assert hook.momentum == pytest.approx(momentum)
    for prototypes in (model.head.prototypes, model.teacher.head['prototypes']):
        torch.testing.assert_close(prototypes.weight.norm(dim=1), torch.ones(7))


def test_momentum_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r'momentum=1.5 must lie in \[0, 1\]'):
        SelfSupStepHook(1.5)


def test_the_momentum_follows_half_a_cosine():
    assert cosine_value(0.04, 0.4, 7, 21) == pytest.approx(0.04 + 0.36 * 0.25)
    assert cosine_value(1., 3., 10, 10) == cosine_value(1., 3., 99, 10) == cosine_value(1., 3., 0, 0) == 3.


def test_the_former_name_builds_the_same_hook():
    hook = HOOKS.build(dict(type='leopart_mm.EMATeacherHook', momentum=0.9, before_optimizer=True))
    assert type(hook) is SelfSupStepHook
    assert (hook.momentum, hook.before_optimizer) == (0.9, True)
