"""A training step never waits for a GPU: what a GPU runs equals what a CPU runs, and reads no value on the host."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from leopart_mm.engine.hooks import SelfSupStepHook
from leopart_mm.engine.optimizers import BackboneHeadConstructor
from leopart_mm.masks import attention
from leopart_mm.models.losses import neco_loss
from leopart_mm.models.losses.sorting import sorted_cross_entropy
from leopart_mm.models.selfsup import crop_pair_model
from tests.models.selfsup.builders import random_batch, tiny_leopart, tiny_neco, tiny_paka
from tests.models.selfsup.stepping import assert_same_gradients, loss_and_gradients
from tests.no_sync import no_sync

MASK = dict(mask='fg', mask_cfg=dict(kernel=3, min_component=3))
QUEUE = dict(queue=dict(length=64, per_image=4, partial=True))
MODELS = {'leopart': (tiny_leopart, MASK | QUEUE), 'leopart-all': (tiny_leopart, {}), 'neco': (tiny_neco, MASK | QUEUE),
          'neco-batch': (tiny_neco, MASK), 'paka': (tiny_paka, MASK)}


def built(name, **backbone):
    build, loss = MODELS[name]
    return build(loss=loss, backbone=dict(drop_path_rate=0.3, **backbone))


@pytest.fixture
def as_on_gpu(monkeypatch):
    """The paths that GPUs take."""
    for module in (attention, neco_loss, crop_pair_model):
        monkeypatch.setattr(module, 'on_cpu', lambda tensor: False)


@pytest.mark.parametrize('name', MODELS)
def test_paths_of_gpus_equal_those_of_cpus(name, request):
    model, inputs = built(name), random_batch(3)
    ours = copy.deepcopy(model)
    results = []
    for one in (model, ours):
        if one is ours:
            request.getfixturevalue('as_on_gpu')
        torch.manual_seed(0)
        results.append(loss_and_gradients(one, inputs))
    (expected, gradients), (outputs, ours) = results
    torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=1e-6)
    assert_same_gradients(ours, gradients)


def without_values(model, mode):
    """The model with fake parameters and buffers."""
    for module in model.modules():
        for key, one in module._parameters.items():
            if one is not None:
                fake = mode.from_tensor(one.detach())
                module._parameters[key] = nn.Parameter(fake, requires_grad=one.requires_grad)
        for key, one in module._buffers.items():
            module._buffers[key] = None if one is None else mode.from_tensor(one)
    return model


def two_steps(name, change=lambda model: None, **backbone):
    """Two whole steps without a value in them."""
    model = built(name, **backbone)
    change(model)
    with no_sync() as mode:
        without_values(model, mode)
        inputs = {key: [one.clone() for one in value] if isinstance(value, list) else value.clone()
                  for key, value in random_batch(3).items()}
        wrapper = BackboneHeadConstructor(dict(optimizer=dict(type='AdamW', lr=1e-3)))(model)
        SelfSupStepHook(0.9).attach(model, wrapper.optimizer)
        wrapper.message_hub = SimpleNamespace(update_scalar=lambda *args: None)
        for _ in range(2):
            model.before_step()
            with torch.autocast('cpu', torch.bfloat16):
                outputs = model(inputs, mode='loss')
            loss, _ = model.parse_losses(outputs)
            wrapper.update_params(loss)
            model.after_step()
    assert outputs['loss'].dtype == torch.float32
    sorted_cross_entropy._orders.cache_clear()  # it holds what has no values


@pytest.mark.usefixtures('as_on_gpu')
@pytest.mark.parametrize('name', MODELS)
def test_a_step_reads_no_value(name):
    two_steps(name)


@pytest.mark.usefixtures('as_on_gpu')
def test_a_step_that_leaves_samples_out_reads_no_value():
    two_steps('leopart', drop_path_mode='samples')


READS = dict(item=lambda x: x.sum().item(), number=lambda x: float(x.sum()), condition=lambda x: bool((x > 0).any()),
             nonzero=lambda x: x.nonzero(), mask=lambda x: x[x > 0], unique=lambda x: x.unique())


@pytest.mark.usefixtures('as_on_gpu')
@pytest.mark.parametrize('read', READS)
def test_this_test_fails_if_somebody_reads_a_value(read):
    def change(model):
        model.head.register_forward_pre_hook(lambda module, args: READS[read](args[0].detach()) is None)

    with pytest.raises(Exception, match=r'(?i)item|local_scalar_dense|data-?dependent|dynamic|nonzero|unique'):
        two_steps('leopart-all', change)


def test_paths_of_cpus_do_read():
    with pytest.raises(Exception, match=r'(?i)nonzero'):
        two_steps('leopart-all')


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('name', MODELS)
def test_a_step_never_waits_for_the_gpu(name):
    model = built(name).cuda()
    inputs = {key: [one.cuda() for one in value] if isinstance(value, list) else value.cuda()
              for key, value in random_batch(3).items()}
    wrapper = BackboneHeadConstructor(dict(optimizer=dict(type='AdamW', lr=1e-3)))(model)
    SelfSupStepHook(0.9).attach(model, wrapper.optimizer)
    try:
        for step in range(3):  # the first one makes workspaces
            torch.cuda.set_sync_debug_mode('error' if step else 'default')
            model.before_step()
            with torch.autocast('cuda', torch.bfloat16):
                outputs = model(inputs, mode='loss')
            wrapper.update_params(model.parse_losses(outputs)[0])
            model.after_step()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    assert outputs['loss'].isfinite()
