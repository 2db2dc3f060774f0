"""Student and teacher without crop pairs: an average of prototypes under a frozen backbone."""

import copy

import torch
from mmengine.model import BaseModule
from torch import nn

from leopart_mm.engine.hooks import SelfSupStepHook
from leopart_mm.models.losses import Prototypes
from leopart_mm.models.selfsup import StudentTeacher


class AveragedPrototypes(StudentTeacher, BaseModule):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(3, 4).requires_grad_(False)
        self.prototypes = Prototypes(4, 5)
        self.add_teacher(prototypes=copy.deepcopy(self.prototypes))

    def before_step(self):
        self.prototypes.normalize_()


def test_only_the_given_parts_follow():
    model = AveragedPrototypes()
    assert {name for name in model.state_dict() if name.startswith('teacher.')} == {'teacher.prototypes.weight'}
    optimizer = torch.optim.SGD([model.prototypes.weight], lr=1.)
    SelfSupStepHook(0.75).attach(model, optimizer)
    before = model.teacher.prototypes.weight.clone()
    model.before_step()
    model.prototypes(model.backbone(torch.ones(2, 3))).sum().backward()
    optimizer.step()
    torch.testing.assert_close(model.teacher.prototypes.weight, 0.75 * before + 0.25 * model.prototypes.weight)
    assert not model.teacher.prototypes.weight.requires_grad
    model.train()
    assert not model.teacher.training
    model.reset_teacher()
    assert torch.equal(model.teacher.prototypes.weight, model.prototypes.weight)


def test_a_checkpoint_without_teacher_gives_it_the_students_weights():
    model, trained = AveragedPrototypes(), AveragedPrototypes()
    state = {name: value for name, value in trained.state_dict().items() if not name.startswith('teacher.')}
    model.load_state_dict(state)
    assert torch.equal(model.teacher.prototypes.weight, trained.prototypes.weight)
    whole = trained.state_dict()
    whole['teacher.prototypes.weight'] = torch.zeros(5, 4)
    model.load_state_dict(whole)
    assert not model.teacher.prototypes.weight.any()
