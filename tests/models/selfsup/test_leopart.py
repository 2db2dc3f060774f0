"""The Leopart model: gradients, exact shortcuts, precision, several processes."""

import copy
import math

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict

from leopart_mm.engine.hooks import SelfSupStepHook
from leopart_mm.registry import MODELS
from tests.distributed import run_distributed
from tests.models.selfsup.builders import gradients, random_batch, tiny_cfg, tiny_leopart
from tests.models.selfsup.plain import plain_leopart_loss
from tests.models.selfsup.stepping import (
    assert_same_gradients,
    loss_and_gradients,
    losses_of_steps,
    results_of_process,
)

QUEUE = dict(length=64, per_image=4)
SMALL_MASK = dict(kernel=3, min_component=1)


def test_loss_trains_the_student_only_and_logs_health():
    model = tiny_leopart()
    outputs, grads = loss_and_gradients(model, random_batch(3))
    student = {name for name, _ in model.named_parameters() if not name.startswith('teacher.')}
    assert set(grads) == student
    assert all(one.abs().sum() > 0 for one in grads.values())
    assert not any(one.requires_grad for one in model.teacher.parameters())
    for name in ('ce_over_log_k', 'prototype_usage', 'agreement'):
        assert not outputs[name].requires_grad
    assert outputs['ce_over_log_k'].item() == pytest.approx(outputs['loss'].item() / math.log(7), rel=1e-6)
    assert 0 <= outputs['prototype_usage'].item() <= 1
    assert 0 <= outputs['agreement'].item() <= 1
    total, _ = model.parse_losses(outputs)
    torch.testing.assert_close(total, outputs['loss'])


def test_teacher_stays_in_evaluation_mode():
    model = tiny_leopart(backbone=dict(drop_path_rate=0.5))
    model.train()
    assert not any(module.training for module in model.teacher.modules())
    crops = random_batch(2)['crops'][:2]
    assert torch.equal(model.teacher_output(crops).embeddings, model.teacher_output(crops).embeddings)


@pytest.mark.parametrize('parts', [2, 3, 5, 8])
def test_micro_batches_equal_the_whole_batch(parts):
    inputs = random_batch(5)
    outputs, grads = loss_and_gradients(tiny_leopart(loss=dict(queue=QUEUE)), inputs)
    in_parts, part_grads = loss_and_gradients(tiny_leopart(loss=dict(queue=QUEUE), micro_batches=parts), inputs)
    torch.testing.assert_close(in_parts['loss'], outputs['loss'], rtol=1e-5, atol=0)
    assert_same_gradients(part_grads, grads)


def assert_equals_plain_operations(model, inputs):
    outputs, grads = loss_and_gradients(model, inputs)
    model.zero_grad()
    loss = plain_leopart_loss(model, inputs)
    loss.backward()
    torch.testing.assert_close(outputs['loss'], loss, rtol=2e-5, atol=0)
    assert_same_gradients(grads, gradients(model), 1e-4)
    return outputs


@pytest.mark.parametrize('mask', ['all', 'fg', 'bg'])
def test_equals_pair_by_pair_plain_operations_with_and_without_masks(mask):
    inputs = random_batch(3)
    model = tiny_leopart(loss=dict(mask=mask, mask_cfg=SMALL_MASK))
    outputs = assert_equals_plain_operations(model, inputs)
    everything = tiny_leopart()(inputs, mode='loss')['loss']
    assert (abs(outputs['loss'] - everything) > 1e-3) == (mask != 'all')  # the mask leaves cells out


def test_an_empty_mask_gives_zero_loss_and_gradients():
    model = tiny_leopart(loss=dict(mask='fg', mask_cfg=dict(kernel=3, min_component=100)))
    outputs, grads = loss_and_gradients(model, random_batch(2))
    assert outputs['loss'].item() == 0
    assert all(torch.isfinite(one).all() and not one.any() for one in grads.values())


def test_single_image_and_more_prototypes_than_tokens():
    model, inputs = tiny_leopart(num_prototypes=200), random_batch(1)
    outputs = assert_equals_plain_operations(model, inputs)
    assert outputs['ce_over_log_k'].item() == pytest.approx(outputs['loss'].item() / math.log(200), rel=1e-6)
    embeddings = model.teacher_output(inputs['crops'][:2]).embeddings.flatten(0, 2)
    counts = (embeddings @ model.teacher.head['prototypes'].weight.T).argmax(1).bincount()
    shares = counts[counts > 0] / 32  # 2 crops of 16 tokens, fewer than prototypes
    assert outputs['prototype_usage'].item() == pytest.approx(-(shares * shares.log()).sum().item() / math.log(32))


def test_without_teacher_the_student_gives_the_targets():
    model, twin = tiny_leopart(use_teacher=False), tiny_leopart()
    inputs = random_batch(2)
    assert model.teacher is None
    torch.testing.assert_close(model(inputs, mode='loss')['loss'], twin(inputs, mode='loss')['loss'])


def test_flipped_crops_give_the_loss_of_the_plain_ones():
    """A backbone with symmetric patch weights and no positions cannot tell a flip, so only the alignment must."""
    model = tiny_leopart()
    with torch.no_grad():
        weight = model.backbone.patch_embed.proj.weight
        weight.copy_((weight + weight.flip(-1)) / 2)
        model.backbone.pos_embed.zero_()
    model.reset_teacher()
    plain = random_batch(3)
    mirrored = dict(plain)
    mirrored['flipped'] = torch.ones_like(plain['flipped'])
    mirrored['crops'] = [crop.flip(-1) for crop in plain['crops']]
    sides = torch.tensor([crop.shape[-1] for crop in plain['crops']])
    for name, side in (('gc_boxes', sides[0]), ('all_boxes', sides[:, None])):
        x1, y1, x2, y2 = plain[name].unbind(-1)
        mirrored[name] = torch.stack([side - x2, y1, side - x1, y2], -1)
    torch.testing.assert_close(
        model(mirrored, mode='loss')['loss'], model(plain, mode='loss')['loss'], rtol=1e-5, atol=0)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_is_finite_and_close(dtype):
    model, inputs = tiny_leopart(loss=dict(queue=QUEUE)), random_batch(3)
    expected = model(inputs, mode='loss')['loss']
    with torch.autocast('cpu', dtype=dtype):
        outputs = model(inputs, mode='loss')
    outputs['loss'].backward()
    assert outputs['loss'].dtype == torch.float32
    torch.testing.assert_close(outputs['loss'], expected, rtol=0.05, atol=0)
    assert all(torch.isfinite(one).all() for one in gradients(model).values())


def test_image_stretched_to_whole_patches_keeps_its_boxes():
    """With size_mode='resize', 14 pixels become 16: boxes in pixels must stretch likewise."""
    model = tiny_leopart(backbone=dict(size_mode='resize'))
    inputs = random_batch(2)
    inputs['crops'][2:] = [torch.nn.functional.interpolate(crop, 14) for crop in inputs['crops'][2:]]
    inputs['all_boxes'][:, 2:] *= 14 / 16
    pairs = model.crop_pairs(inputs)
    torch.testing.assert_close(pairs.all_boxes, random_batch(2)['all_boxes'])
    torch.testing.assert_close(pairs.gc_boxes, inputs['gc_boxes'])


def test_teacher_starts_as_a_copy_or_with_its_own_heads():
    torch.manual_seed(0)
    model = MODELS.build(tiny_cfg())
    model.init_weights()
    for teacher, student in zip(*model.teacher_student_pairs(), strict=True):
        assert torch.equal(teacher, student)
    model = MODELS.build(tiny_cfg(teacher_init='independent'))
    model.init_weights()
    assert torch.equal(model.teacher.backbone.pos_embed, model.backbone.pos_embed)
    assert not torch.equal(model.teacher.neck.mlp[0].weight, model.neck.mlp[0].weight)
    assert not torch.equal(model.teacher.head['prototypes'].weight, model.head.prototypes.weight)
    with pytest.raises(ValueError, match='choose one of'):
        MODELS.build(tiny_cfg(teacher_init='random'))


def test_a_checkpoint_without_teacher_fills_both():
    model, other = tiny_leopart(0), tiny_leopart(1)
    student = {name: value for name, value in other.state_dict().items() if not name.startswith('teacher.')}
    load_state_dict(model, student)
    for teacher, expected in zip(model.teacher_student_pairs()[0], other.teacher_student_pairs()[1], strict=True):
        assert torch.equal(teacher, expected)


def test_tensor_mode_gives_the_backbones_map():
    model = tiny_leopart()
    assert model(torch.randn(1, 3, 32, 32), mode='tensor')[0].shape == (1, 16, 4, 4)


@pytest.mark.slow
@pytest.mark.parametrize('loss', [{}, dict(queue=QUEUE)])
def test_compiled_train_step_gives_the_same_losses(loss):
    losses = {compiled: losses_of_steps(tiny_leopart(loss=copy.deepcopy(loss)), compiled) for compiled in (False, True)}
    assert losses[True] == pytest.approx(losses[False], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('loss', [
    dict(),
    dict(mask='fg', mask_cfg=SMALL_MASK),
    dict(queue=dict(QUEUE, partial=True)),
], ids=['all', 'fg', 'queue'])
def test_two_processes_equal_one(loss):
    inputs = random_batch(4)
    model = tiny_leopart(loss=copy.deepcopy(loss))
    ranks = run_distributed(results_of_process, 2, tiny_leopart, dict(loss=loss), inputs)
    for step in range(2):
        outputs, grads = loss_and_gradients(model, inputs)
        model.after_step()
        loss_of_ranks = torch.stack([results[step][0]['loss'] for results in ranks]).mean()
        torch.testing.assert_close(loss_of_ranks, outputs['loss'].detach(), rtol=1e-5, atol=0)
        for results in ranks:
            assert_same_gradients(results[step][1], grads, 2e-5)


def with_adapters(seed: int = 0, **kwargs):
    """A tiny Leopart whose adapters change its backbone."""
    return tiny_leopart(seed, backbone=dict(trainable='lora_4'), **kwargs)


def test_the_teacher_follows_the_weights_that_adapters_make():
    model = with_adapters()
    assert not [name for name in model.teacher.state_dict() if 'lora' in name]
    layer, teacher = model.backbone.blocks[0].attn.qkv, model.teacher.backbone.blocks[0].attn.qkv
    assert torch.equal(teacher.weight, layer.weight)
    assert not torch.equal(layer.weight, layer.parametrizations.weight.original)
    optimizer = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=1.)
    SelfSupStepHook(0.75).attach(model, optimizer)
    expected, original = teacher.weight.clone(), layer.parametrizations.weight.original.clone()
    for seed in range(2):
        before = layer.weight.detach().clone()
        model.zero_grad()
        model(random_batch(2, seed), mode='loss')['loss'].backward()
        optimizer.step()
        assert not torch.equal(layer.weight, before)
        expected = 0.75 * expected + 0.25 * layer.weight.detach()
    torch.testing.assert_close(teacher.weight, expected)
    assert torch.equal(layer.parametrizations.weight.original, original)
    # A file of the student alone fills both, and a plain model reads it merged.
    student = {name: value for name, value in model.state_dict().items() if not name.startswith('teacher.')}
    again, plain = with_adapters(1), tiny_leopart(2)
    load_state_dict(again, dict(student))
    load_state_dict(plain, dict(student))
    for other in (again.teacher.backbone, plain.backbone, plain.teacher.backbone):
        torch.testing.assert_close(other.blocks[0].attn.qkv.weight, layer.weight)


@pytest.mark.slow
def test_two_processes_equal_one_with_adapters():
    inputs = random_batch(4)
    model = with_adapters()
    ranks = run_distributed(results_of_process, 2, with_adapters, dict(), inputs)
    _, grads = loss_and_gradients(model, inputs)
    assert any('lora_A' in name for name in grads)
    for results in ranks:
        assert_same_gradients(results[0][1], grads, 2e-5)
