"""Configs and checkpoints from the time when a head held the loss."""

import copy

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict

from leopart_mm.models.losses import LeopartLoss, NeCoLoss
from leopart_mm.models.losses.old_heads import loss_config
from leopart_mm.registry import MODELS
from tests.models.selfsup.builders import random_batch, tiny_cfg, tiny_leopart, tiny_neco, tiny_neco_cfg

QUEUE = dict(length=64, embed_dims=6, per_image=4)
OLD_HEADS = dict(
    leopart=dict(type='leopart_mm.LeopartHead', embed_dims=6, num_prototypes=7,
                 loss=dict(type='leopart_mm.LeopartLoss', kernel=3, queue=QUEUE)),
    neco=dict(type='leopart_mm.NeCoHead', loss=dict(type='leopart_mm.NeCoLoss', kernel=3, queue=QUEUE)))
NEW = dict(leopart=tiny_cfg(dict(queue=dict(length=64, per_image=4))),
           neco=tiny_neco_cfg(dict(queue=dict(length=64, per_image=4))))


def built(cfg):
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(cfg))
    model.init_weights()
    model.before_step()
    return model


@pytest.mark.parametrize('method', OLD_HEADS)
def test_a_config_with_a_head_builds_the_same_model(method):
    old, new = built({**NEW[method], 'head': OLD_HEADS[method]}), built(NEW[method])
    assert type(old.head) is type(new.head)
    states = old.state_dict(), new.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    inputs = random_batch(2)
    assert torch.equal(old(inputs, mode='loss')['loss'], new(inputs, mode='loss')['loss'])


def test_a_head_of_its_own_builds_its_loss():
    head = MODELS.build(copy.deepcopy(OLD_HEADS['leopart']))
    assert isinstance(head, LeopartLoss)
    assert (head.prototypes.weight.shape, head.kernel, head.queue.length) == ((7, 6), 3, 64)
    assert isinstance(MODELS.build(dict(type='leopart_mm.NeCoHead')), NeCoLoss)


def test_a_users_file_may_still_change_the_loss_in_the_head():
    """What MMEngine makes of our base and a file with head=dict(loss=dict(mask='fg', queue=None))."""
    base = dict(type='leopart_mm.LeopartLoss', num_prototypes=300, mask='all', queue=dict(length=8192))
    assert loss_config(dict(base, loss=dict(mask='fg', queue=None))) == dict(base, mask='fg', queue=None)


@pytest.mark.parametrize('build', [tiny_leopart, tiny_neco])
def test_a_checkpoint_with_a_head_loads_completely(build):
    loss = dict(queue=dict(QUEUE))
    trained, model = build(1, loss=loss), build(2, loss=loss)
    trained(random_batch(2), mode='loss')
    trained.after_step()
    held = ('head.queue.', 'head.steps')
    state = {name.replace('head.', 'head.loss_module.', 1) if name.startswith(held) else name: value
             for name, value in trained.state_dict().items()}
    assert 'head.loss_module.queue.pushes' in state
    load_state_dict(model, state, strict=True)
    for name, value in trained.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert model.head.queue.pushes == 1


def test_widths_come_from_backbone_and_neck_unless_the_config_says_them():
    model = MODELS.build(tiny_cfg(dict(queue=dict(length=8))))
    assert model.neck.mlp[0].in_features == model.backbone.embed_dims == 16
    assert model.head.prototypes.weight.shape == model.teacher.head['prototypes'].weight.shape == (7, 6)
    assert model.head.queue.rows.shape == (2, 8, 6)
    cfg = tiny_cfg()
    cfg['neck']['in_channels'], cfg['head']['embed_dims'] = 12, 5
    model = MODELS.build(cfg)
    assert (model.neck.mlp[0].in_features, model.head.prototypes.weight.shape[1]) == (12, 5)
