"""A published training checkpoint as the start of our training: heads and teacher come along."""

import pytest
import torch
from mmengine.runner import Runner
from torch import nn

from leopart_mm.models.losses import Prototypes
from leopart_mm.models.necks import ProjectionHead
from tests.checkpoints.layouts import prefixed
from tests.checkpoints.test_conversion import PLAIN, heads, leopart, leopart_pair, neco, single_head
from tests.models.backbones.builders import tiny_vit


def network(seed, num_prototypes=9):
    module = nn.Module()
    module.backbone = tiny_vit(seed=seed)
    module.neck = ProjectionHead(32, 48, 16)
    module.head = nn.ModuleDict(dict(prototypes=Prototypes(16, num_prototypes)))
    return module


def load(model, checkpoint, tmp_path, capsys=None, which=None, hooks=('BackboneCheckpointHook', )):
    """Load a checkpoint as a Runner does; returns what it prints."""
    torch.save(checkpoint, tmp_path / 'weights.ckpt')
    Runner(model, work_dir=str(tmp_path / 'run'), load_from=str(tmp_path / 'weights.ckpt'),
           log_level='ERROR' if capsys is None else 'INFO', default_scope='mmseg', experiment_name=tmp_path.name,
           custom_hooks=[dict(type=f'leopart_mm.{hook}', which=which) for hook in hooks]).load_or_resume()
    return '' if capsys is None else capsys.readouterr().out


def loaded(checkpoint, tmp_path, num_prototypes=9, which=None):
    model = network(1, num_prototypes)
    model.teacher = network(2, num_prototypes)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    load(model, checkpoint, tmp_path, which=which)
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


def test_a_head_of_a_single_layer(tmp_path):
    model = network(1)
    model.neck = ProjectionHead(32, 48, 16, num_layers=1)
    load(model, {**PLAIN, **single_head()}, tmp_path)
    assert torch.equal(model.neck.mlp[0].weight, single_head()['projection_head.weight'])
    assert torch.equal(model.neck.mlp[0].bias, single_head()['projection_head.bias'])


class Segmentor(nn.Module):

    def __init__(self, seed=3):
        super().__init__()
        self.backbone = tiny_vit(seed=seed)
        self.decode_head = nn.Conv2d(32, 5, 1)


def test_parts_that_the_model_lacks_are_named_in_one_line(tmp_path, capsys):
    """A training checkpoint into a segmentor: nothing is wrong, so nothing may look like it."""
    model, source = Segmentor(), {**ours(STUDENT), **prefixed(ours(TEACHER), 'teacher.')}
    weight = model.decode_head.weight.clone()
    output = load(model, dict(state_dict=source), tmp_path, capsys)
    assert 'do not match' not in output
    assert 'weights.ckpt fills backbone.*. Not used here: head.*, neck.*, teacher.backbone.*, teacher.head.*' in output
    assert 'WARNING' in output  # the head stays random, and nobody is about to train it
    assert 'Not in the file, so left at initial values: decode_head.*.' in output
    assert torch.equal(model.backbone.cls_token, STUDENT['cls_token'])
    assert torch.equal(model.decode_head.weight, weight)


def test_a_backbone_file_for_a_segmentor(tmp_path, capsys):
    output = load(Segmentor(), STUDENT, tmp_path, capsys)
    assert 'do not match' not in output
    assert 'fills backbone.*. Not in the file, so left at initial values: decode_head.*.' in output


def test_incomplete_parts_are_left_to_mmengine(tmp_path, capsys):
    state = Segmentor().state_dict()
    del state['decode_head.bias']
    output = load(Segmentor(), dict(state_dict=state), tmp_path, capsys)
    assert 'missing keys in source state_dict: decode_head.bias' in output


def test_both_names_of_the_hook_together_do_the_same(tmp_path, capsys):
    model = Segmentor()
    output = load(model, STUDENT, tmp_path, capsys, hooks=['BackboneCheckpointHook', 'ResNetCheckpointHook'])
    assert output.count('fills backbone.*') == 1
    assert torch.equal(model.backbone.cls_token, STUDENT['cls_token'])
