"""The fused implementation: same numbers, chosen where torch has it, and whatever a checkpoint came from."""

import pytest
import torch

from leopart_mm.engine.hooks.self_sup_step_hook import follow
from leopart_mm.engine.optimizers.fused import build_optimizer

CFG = dict(type='AdamW', lr=0.01, weight_decay=0.1)


def parameters(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(size, 3, generator=generator).to(dtype)) for size in (2, 5)]


def steps(optimizer, count, start=0):
    group = optimizer.param_groups[0]['params']
    for step in range(start, start + count):
        for one in group:
            one.grad = torch.sin(one.detach() * (step + 1))
        optimizer.step()
    return [one.detach().clone() for one in group]


def built(**options):
    return build_optimizer({**CFG, **options}, [dict(params=parameters())])


def test_fused_where_torch_has_it_unless_the_config_says_otherwise():
    assert built().param_groups[0]['fused'] is True
    assert built(foreach=True).param_groups[0]['fused'] is None
    assert built(fused=False).param_groups[0]['fused'] is False
    assert not build_optimizer(dict(type='SGD', lr=1.), [dict(params=parameters())]).param_groups[0].get('fused')
    integers = [torch.nn.Parameter(torch.ones(2, dtype=torch.long), requires_grad=False)]
    assert not build_optimizer(CFG, [dict(params=integers)]).param_groups[0].get('fused')  # torch refuses: plain
    with pytest.raises(ValueError, match='learning rate'):
        built(lr=-1.)


def test_same_numbers_as_the_plain_one_also_across_a_resume():
    plain = steps(built(foreach=False), 6)
    torch.testing.assert_close(steps(built(), 6), plain, rtol=1e-6, atol=1e-7)
    for first, second in ((dict(foreach=False), {}), ({}, dict(foreach=False))):
        before, after = built(**first), built(**second)
        values = steps(before, 3)
        with torch.no_grad():
            for one, value in zip(after.param_groups[0]['params'], values, strict=True):
                one.copy_(value)
        own = after.param_groups[0]['fused']
        after.load_state_dict(before.state_dict())
        assert after.param_groups[0]['fused'] is own
        torch.testing.assert_close(steps(after, 3, start=3), plain, rtol=1e-6, atol=1e-7)


def test_a_state_of_other_groups_is_refused_in_torchs_words():
    with pytest.raises(ValueError, match='parameter groups'):
        built().load_state_dict(build_optimizer(CFG, [dict(params=[one]) for one in parameters()]).state_dict())


def test_the_teacher_follows_and_stays_where_a_step_was_skipped():
    teacher, student = [one.detach().clone() for one in parameters()], [torch.ones(2, 3), torch.zeros(5, 3)]
    expected = [torch.lerp(one, other, 0.25) for one, other in zip(teacher, student, strict=True)]
    for found_inf, moves in ((None, True), (torch.zeros(1), True), (torch.ones(1), False)):
        moved = [one.clone() for one in teacher]
        follow(moved, student, 0.25, found_inf)
        torch.testing.assert_close(moved, expected if moves else teacher, rtol=1e-6, atol=1e-7)
