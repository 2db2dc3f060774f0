"""The NeCo model: gradients, the teacher, precision, parts of a batch, several processes."""

import copy

import pytest
import torch

from leopart_mm.engine.hooks import SelfSupStepHook
from leopart_mm.engine.optimizers import BackboneHeadConstructor
from tests.distributed import run_distributed
from tests.models.selfsup.builders import gradients, random_batch, tiny_neco
from tests.models.selfsup.plain import plain_neco_loss
from tests.models.selfsup.stepping import (
    assert_same_gradients,
    loss_and_gradients,
    losses_of_steps,
    results_of_process,
)

QUEUE = dict(length=64, per_image=4)
SMALL_MASK = dict(kernel=3, min_component=1)
LOSSES = dict(batch=dict(), queue=dict(queue=QUEUE), fg=dict(mask='fg', mask_cfg=SMALL_MASK),
              fg_queue=dict(mask='fg', mask_cfg=SMALL_MASK, queue=QUEUE))
# The sort multiplies rounding errors of the similarities by its steepness; where sums in another order are compared,
# they shall not be more than that.
GENTLE = dict(student_steepness=5., teacher_steepness=5.)
HEALTH = ('divergence', 'target_entropy', 'rank_agreement', 'similarity_spread')


@pytest.mark.parametrize('loss', LOSSES.values(), ids=LOSSES)
def test_loss_trains_the_student_only_and_logs_health(loss):
    model = tiny_neco(loss=copy.deepcopy(loss))
    outputs, grads = loss_and_gradients(model, random_batch(3))
    assert set(grads) == {name for name, _ in model.named_parameters() if not name.startswith('teacher.')}
    assert all(torch.isfinite(one).all() and one.abs().sum() > 0 for one in grads.values())
    assert set(outputs) == {'loss', *HEALTH}
    assert not any(outputs[name].requires_grad for name in HEALTH)
    assert 0 <= outputs['target_entropy'] <= 1
    assert -1 <= outputs['rank_agreement'] <= 1
    assert 0 <= outputs['similarity_spread'] <= 1
    assert outputs['divergence'] >= 0
    total, _ = model.parse_losses(outputs)
    torch.testing.assert_close(total, outputs['loss'])


def test_the_loss_changes_nothing_until_the_step_ends():
    model, inputs = tiny_neco(loss=dict(queue=QUEUE)), random_batch(2)
    before = copy.deepcopy(model.state_dict())
    first = model(inputs, mode='loss')['loss']
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model(inputs, mode='loss')['loss'], first)
    model.after_step()
    queue = model.head.queue
    assert queue.fill.tolist() == [8, 8]
    assert model.head.steps == 1
    assert not torch.equal(model(inputs, mode='loss')['loss'], first)


def test_references_include_this_steps_patches():
    model, inputs = tiny_neco(loss=dict(queue=QUEUE)), random_batch(2)
    pairs = model.crop_pairs(inputs)
    teacher = model.teacher_output(inputs['crops'][:2])
    references = model.head.targets(teacher, pairs).references
    for (crop, _), drawn in zip(pairs.pairs, references, strict=True):
        patches = teacher.embeddings[crop].flatten(0, 1)
        assert bool((torch.cdist(drawn.flatten(0, 1), patches).amin(1) < 1e-3).all())
    # 8 of them are there for the 18 that two images need, so they repeat.
    assert len(references[0].flatten(0, 1).unique(dim=0)) == 8


@pytest.mark.parametrize('loss', LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize('parts', [2, 3, 5])
def test_micro_batches_equal_the_whole_batch(loss, parts):
    inputs, loss = random_batch(5), {**loss, **GENTLE}
    outputs, grads = loss_and_gradients(tiny_neco(loss=copy.deepcopy(loss)), inputs)
    in_parts, part_grads = loss_and_gradients(tiny_neco(loss=copy.deepcopy(loss), micro_batches=parts), inputs)
    for name, expected in outputs.items():
        # Where two similarities are a step of the ranks' resolution apart but for rounding, two ranks are exchanged.
        torch.testing.assert_close(in_parts[name], expected, rtol=1e-5, atol=5e-3 if name == 'rank_agreement' else 1e-6)
    assert_same_gradients(part_grads, grads)


def test_without_teacher_the_loss_is_that_of_a_twin_and_references_learn_too():
    inputs = random_batch(2)
    model, twin = tiny_neco(use_teacher=False), tiny_neco()
    assert model.teacher is None
    outputs, grads = loss_and_gradients(model, inputs)
    expected, twin_grads = loss_and_gradients(twin, inputs)
    torch.testing.assert_close(outputs['loss'], expected['loss'])
    name = 'neck.mlp.0.weight'
    assert not torch.allclose(grads[name], twin_grads[name], rtol=1e-3)
    with pytest.raises(ValueError, match=r'micro_batches=2 is impossible with use_teacher=False'):
        tiny_neco(use_teacher=False, micro_batches=2)
    # From a queue there is nothing to learn through.
    queue = dict(queue=QUEUE)
    _, grads = loss_and_gradients(tiny_neco(use_teacher=False, loss=copy.deepcopy(queue), micro_batches=2), inputs)
    _, twin_grads = loss_and_gradients(tiny_neco(loss=copy.deepcopy(queue)), inputs)
    assert_same_gradients(grads, twin_grads)


@pytest.mark.parametrize('mask', ['fg', 'bg'])
def test_without_teacher_masks_use_the_students_attention(mask):
    inputs, loss = random_batch(2), dict(mask=mask, mask_cfg=SMALL_MASK)
    alone, twin, unmasked = (model(inputs, mode='loss')['loss'] for model in (
        tiny_neco(use_teacher=False, loss=loss), tiny_neco(loss=loss), tiny_neco(use_teacher=False)))
    torch.testing.assert_close(alone, twin)  # its teacher is a copy, with the same attention
    assert abs(alone - unmasked) > 1e-3


@pytest.mark.parametrize('loss', [dict(), dict(queue=QUEUE)], ids=['batch', 'queue'])
def test_an_empty_mask_gives_zero_loss_and_gradients(loss):
    model = tiny_neco(loss=dict(mask='fg', mask_cfg=dict(kernel=3, min_component=100), **copy.deepcopy(loss)))
    outputs, grads = loss_and_gradients(model, random_batch(2))
    assert outputs['loss'].item() == 0
    assert all(torch.isfinite(one).all() and not one.any() for one in grads.values())


def references_of(model, inputs):
    return model.head.targets(model.teacher_output(inputs['crops'][:2]), model.crop_pairs(inputs)).references


@pytest.mark.parametrize('loss', [dict(), dict(queue=QUEUE)], ids=['batch', 'queue'])
@pytest.mark.parametrize('batch', [1, 3])
def test_equals_pair_by_pair_plain_operations(loss, batch):
    model, inputs = tiny_neco(loss={**copy.deepcopy(loss), **GENTLE}), random_batch(batch)
    outputs, grads = loss_and_gradients(model, inputs)
    model.zero_grad()
    plain = plain_neco_loss(model, inputs, references_of(model, inputs))
    plain.backward()
    torch.testing.assert_close(outputs['loss'], plain, rtol=2e-5, atol=0)
    assert_same_gradients(grads, gradients(model), 1e-4)


def test_one_image_in_the_batch_is_compared_with_its_own_cells():
    model, inputs = tiny_neco(), random_batch(1)
    targets = model.head.targets(model.teacher_output(inputs['crops'][:2]), model.crop_pairs(inputs))
    for queries, references in zip(targets.queries[:, 0], targets.references[:, 0], strict=True):
        assert torch.equal(torch.cdist(references, queries).argmin(1).sort().values, torch.arange(9))


@pytest.mark.parametrize('mode', ['pad', 'resize', 'drop'])
def test_crops_that_are_no_multiple_of_the_patch(mode):
    inputs = random_batch(2)
    inputs['crops'] = [torch.nn.functional.interpolate(crop, size) for crop, size in
                       zip(inputs['crops'], (35, 35, 18, 18), strict=True)]
    inputs['gc_boxes'] *= 35 / 32
    inputs['all_boxes'][:, :2] *= 35 / 32
    inputs['all_boxes'][:, 2:] *= 18 / 16
    outputs, grads = loss_and_gradients(tiny_neco(backbone=dict(size_mode=mode), loss=GENTLE), inputs)
    # The same by hand: crops that are whole patches, and boxes where the content is then.
    sizes = (32, 32, 16, 16) if mode == 'drop' else (40, 40, 24, 24)
    for crop, size in enumerate(sizes):
        image = inputs['crops'][crop]
        side = image.shape[-1]
        if mode == 'resize':
            image = torch.nn.functional.interpolate(image, size, mode='bilinear')
            inputs['all_boxes'][:, crop] *= size / side
            if crop < 2:
                inputs['gc_boxes'][:, crop] *= size / side
        else:
            image = torch.nn.functional.pad(image, (0, size - side, 0, size - side))  # cuts where it is negative
        inputs['crops'][crop] = image
    by_hand, grads_by_hand = loss_and_gradients(tiny_neco(loss=GENTLE), inputs)
    torch.testing.assert_close(outputs['loss'], by_hand['loss'], rtol=1e-5, atol=0)
    assert_same_gradients(grads, grads_by_hand)
    plain = plain_neco_loss(tiny_neco(loss=GENTLE), inputs, references_of(tiny_neco(loss=GENTLE), inputs))
    torch.testing.assert_close(outputs['loss'], plain, rtol=2e-5, atol=0)


def test_nan_in_an_image_shows_in_the_loss():
    inputs = random_batch(2)
    inputs['crops'][0][0, 0, 0, 0] = torch.nan
    assert tiny_neco()(inputs, mode='loss')['loss'].isnan()


def test_autocast_is_finite_and_close():
    model, inputs = tiny_neco(loss=dict(queue=QUEUE)), random_batch(3)
    expected = model(inputs, mode='loss')['loss']
    with torch.autocast('cpu', dtype=torch.bfloat16):
        outputs = model(inputs, mode='loss')
    outputs['loss'].backward()
    assert outputs['loss'].dtype == torch.float32
    torch.testing.assert_close(outputs['loss'], expected, rtol=0.1, atol=0)
    assert all(torch.isfinite(one).all() for one in gradients(model).values())


@pytest.mark.parametrize('before', [False, True], ids=['correct', 'published'])
def test_the_teacher_follows_after_the_step_or_a_step_behind(before):
    model = tiny_neco()
    with torch.no_grad():
        model.neck.mlp[0].weight += 1
    wrapper = BackboneHeadConstructor(dict(optimizer=dict(type='SGD', lr=0.1)))(model)
    hook = SelfSupStepHook(0.9, before_optimizer=before)
    hook.attach(model, wrapper.optimizer)
    student, teacher = (one.neck.mlp[0].weight.detach().clone() for one in (model, model.teacher))
    model.train_step(dict(inputs=random_batch(2)), wrapper)
    followed = student if before else model.neck.mlp[0].weight.detach()
    torch.testing.assert_close(model.teacher.neck.mlp[0].weight, 0.9 * teacher + 0.1 * followed)


def test_a_few_steps_lower_the_divergence():
    model, inputs = tiny_neco(), random_batch(4)
    wrapper = BackboneHeadConstructor(dict(optimizer=dict(type='AdamW', lr=1e-3)))(model)
    divergences = [model.train_step(dict(inputs=inputs), wrapper)['divergence'].item() for _ in range(15)]
    assert divergences[-1] < 0.9 * divergences[0]


@pytest.mark.slow
def test_compiled_train_step_gives_the_same_losses():
    losses = {compiled: losses_of_steps(tiny_neco(loss=dict(queue=dict(QUEUE))), compiled)
              for compiled in (False, True)}
    assert losses[True] == pytest.approx(losses[False], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('cfg', [*(dict(loss={**loss, **GENTLE}) for loss in LOSSES.values()),
                                 dict(use_teacher=False, loss=GENTLE)],
                         ids=[*LOSSES, 'no_teacher'])
def test_two_processes_equal_one(cfg):
    inputs = random_batch(4)
    model = tiny_neco(**copy.deepcopy(cfg))
    ranks = run_distributed(results_of_process, 2, tiny_neco, cfg, inputs)
    for step in range(2):
        outputs, grads = loss_and_gradients(model, inputs)
        model.after_step()
        for name, expected in outputs.items():
            mean = torch.stack([results[step][0][name] for results in ranks]).mean()
            torch.testing.assert_close(
                mean, expected.detach(), rtol=1e-5, atol=5e-3 if name == 'rank_agreement' else 1e-6)
        for results in ranks:
            assert_same_gradients(results[step][1], grads, 2e-5)
