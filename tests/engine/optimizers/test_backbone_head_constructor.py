"""Optimiser groups."""

import pytest
import torch

from leopart_mm.engine.optimizers import BackboneHeadConstructor
from tests.models.selfsup.builders import tiny_leopart


def _wrapper(model, **paramwise):
    cfg = dict(optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.1))
    return BackboneHeadConstructor(cfg, paramwise)(model)


def _names(model, group):
    ids = {id(one) for one in group['params']}
    return {name for name, one in model.named_parameters() if id(one) in ids}


def test_four_groups_hold_every_student_parameter_once():
    model = tiny_leopart()
    groups = _wrapper(model, head_lr=1e-2).optimizer.param_groups
    assert [group['name'] for group in groups] == [
        'backbone_decay', 'backbone_no_decay', 'head_decay', 'head_no_decay'
    ]
    assert [(group['lr'], group['weight_decay']) for group in groups] == [(1e-3, 0.1), (1e-3, 0.), (1e-2, 0.1),
                                                                          (1e-2, 0.)]
    names = [name for group in groups for name in _names(model, group)]
    student = [name for name, one in model.named_parameters() if one.requires_grad]
    assert sorted(names) == sorted(student)
    assert {'backbone.pos_embed', 'backbone.cls_token'} <= _names(model, groups[0])
    assert 'head.prototypes.weight' in _names(model, groups[2])


def test_tokens_can_be_exempt_from_decay():
    model = tiny_leopart()
    groups = _wrapper(model, decay_tokens=False).optimizer.param_groups
    assert {'backbone.pos_embed', 'backbone.cls_token'} <= _names(model, groups[1])


def test_frozen_parts_are_left_out():
    model = tiny_leopart(backbone=dict(frozen_stages=2))
    names = [group['name'] for group in _wrapper(model).optimizer.param_groups]
    assert names == ['head_decay', 'head_no_decay']


def test_fused_on_the_cpu_unless_told_otherwise():
    model = tiny_leopart()
    assert _wrapper(model).optimizer.defaults['fused'] == (torch.__version__ >= '2.4')
    cfg = dict(optimizer=dict(type='AdamW', lr=1e-3, foreach=False))
    assert not BackboneHeadConstructor(cfg)(model).optimizer.defaults['fused']
    assert BackboneHeadConstructor(dict(optimizer=dict(type='SGD', lr=1e-3)))(model).optimizer.defaults['lr'] == 1e-3


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"unknown keys \['head_lr_mult'\]"):
        _wrapper(tiny_leopart(), head_lr_mult=10)
    with pytest.raises(ValueError, match=r"LayerDecayConstructor' with paramwise_cfg=dict\(layer_decay_rate=0.5\)"):
        _wrapper(tiny_leopart(), layer_decay=0.5)
    with pytest.raises(ValueError, match='needs lr'):
        BackboneHeadConstructor(dict(optimizer=dict(type='AdamW')))
    with pytest.raises(ValueError, match='no parameter of the model is trainable'):
        _wrapper(torch.nn.Identity())
