"""A published training checkpoint as the start of our training: heads and teacher come along."""

import pytest
import torch
from mmengine.runner import Runner
from torch import nn

from leopart_mm.models.losses import Prototypes
from leopart_mm.models.necks import ProjectionHead
from tests.checkpoints.layouts import prefixed
from tests.checkpoints.test_conversion import heads, leopart, leopart_pair, neco
from tests.models.backbones.builders import tiny_vit


def network(seed, num_prototypes=9):
    module = nn.Module()
    module.backbone = tiny_vit(seed=seed)
    module.neck = ProjectionHead(32, 48, 16)
    module.head = nn.ModuleDict(dict(prototypes=Prototypes(16, num_prototypes)))
    return module


def loaded(checkpoint, tmp_path, num_prototypes=9, which=None):
    model = network(1, num_prototypes)
    model.teacher = network(2, num_prototypes)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.save(checkpoint, tmp_path / 'weights.ckpt')
    Runner(model, work_dir=str(tmp_path / 'run'), load_from=str(tmp_path / 'weights.ckpt'), log_level='ERROR',
           custom_hooks=[dict(type='leopart_mm.BackboneCheckpointHook', which=which)], default_scope='mmseg',
           experiment_name=tmp_path.name).load_or_resume()
    return model.state_dict(), before


def ours(state):
    return {(key.replace('projection_head', 'neck.mlp').replace('prototypes', 'head.prototypes')
             if key.startswith(('projection_head', 'prototypes')) else f'backbone.{key}'): value
            for key, value in state.items()}


def assert_holds(state, expected):
    for key, value in expected.items():
        assert torch.equal(state[key], value), key


STUDENT, TEACHER = ({**tiny_vit(seed=vit).state_dict(), **heads(seed)} for vit, seed in ((0, 0), (5, 50)))


def test_student_and_teacher_each_in_their_place(tmp_path):
    state, _ = loaded(leopart_pair(), tmp_path)
    assert_holds(state, {**ours(STUDENT), **prefixed(ours(TEACHER), 'teacher.')})


@pytest.mark.parametrize('checkpoint', [leopart(), neco()])
def test_a_released_student_is_the_start_of_both(checkpoint, tmp_path):
    state, _ = loaded(checkpoint, tmp_path)
    assert_holds(state, {**ours(STUDENT), **prefixed(ours(STUDENT), 'teacher.')})


def test_the_teacher_alone_on_request(tmp_path):
    state, _ = loaded(leopart_pair(), tmp_path, which='teacher')
    assert_holds(state, {**ours(TEACHER), **prefixed(ours(TEACHER), 'teacher.')})


def test_heads_of_other_sizes_are_left_out_and_the_backbone_fills_both(tmp_path):
    state, before = loaded(leopart_pair(), tmp_path, num_prototypes=12)
    backbone = prefixed(tiny_vit().state_dict(), 'backbone.')
    assert_holds(state, {**backbone, **prefixed(backbone, 'teacher.')})
    assert_holds(state, {key: value for key, value in before.items() if 'backbone.' not in key})
