"""The PaKA model: gradients, precision, parts of a batch, several processes, what it refuses."""

import copy

import pytest
import torch

from leopart_mm.engine.optimizers import BackboneHeadConstructor
from leopart_mm.models.losses import PaKALoss
from tests.distributed import run_distributed
from tests.models.selfsup.builders import gradients, random_batch, tiny_paka
from tests.models.selfsup.plain import plain_paka_loss
from tests.models.selfsup.stepping import assert_same_gradients, loss_and_gradients, results_of_process

MASKED = dict(mask='fg', mask_cfg=dict(kernel=3, min_component=1))


@pytest.mark.parametrize('loss', [{}, MASKED], ids=['all', 'fg'])
def test_loss_trains_the_student_only_and_logs_health(loss):
    model = tiny_paka(loss=copy.deepcopy(loss))
    outputs, grads = loss_and_gradients(model, random_batch(3))
    assert set(grads) == {name for name, _ in model.named_parameters() if not name.startswith('teacher.')}
    assert all(torch.isfinite(one).all() and one.abs().sum() > 0 for one in grads.values())
    assert set(outputs) == {'loss', 'kernel_alignment', 'teacher_spread'}
    assert 0 < outputs['teacher_spread'] < 1
    # Pairs in which no cell counts add neither a loss nor an alignment.
    whole = outputs['loss'].detach() + outputs['kernel_alignment']
    assert 0 < whole < 1 if loss else whole.item() == pytest.approx(1)


def test_equals_pair_by_pair_plain_operations():
    model, inputs = tiny_paka(), random_batch(3)
    outputs, grads = loss_and_gradients(model, inputs)
    model.zero_grad()
    plain = plain_paka_loss(model, inputs)
    plain.backward()
    torch.testing.assert_close(outputs['loss'].double(), plain, rtol=1e-5, atol=0)
    assert_same_gradients(grads, gradients(model), 1e-4)


def test_two_views_that_agree_have_no_loss():
    model, inputs = tiny_paka(), random_batch(2)
    targets = model.head.targets(model.teacher_output(inputs['crops'][:2]), model.crop_pairs(inputs))
    loss, _ = model.head(3 * targets.cells.flip(-1), targets)
    assert loss.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('loss', [{}, MASKED], ids=['all', 'fg'])
def test_micro_batches_equal_the_whole_batch(loss):
    inputs = random_batch(3)
    outputs, grads = loss_and_gradients(tiny_paka(loss=loss), inputs)
    in_parts, part_grads = loss_and_gradients(tiny_paka(loss=loss, micro_batches=2), inputs)
    for name, expected in outputs.items():
        torch.testing.assert_close(in_parts[name], expected, rtol=1e-5, atol=1e-6)
    assert_same_gradients(part_grads, grads)


def test_autocast_is_finite_and_close():
    model, inputs = tiny_paka(), random_batch(3)
    expected = model(inputs, mode='loss')['loss']
    with torch.autocast('cpu', dtype=torch.bfloat16):
        outputs = model(inputs, mode='loss')
    outputs['loss'].backward()
    assert outputs['loss'].dtype == torch.float32
    torch.testing.assert_close(outputs['loss'], expected, rtol=0.05, atol=0)
    assert all(torch.isfinite(one).all() for one in gradients(model).values())


def test_autocast_does_not_reach_the_kernels():
    """Products of unit vectors in bfloat16 would be off by per mille, as much as the loss changes in a step."""
    model, inputs = tiny_paka(), random_batch(3)
    teacher, pairs = model.teacher_output(inputs['crops'][:2]), model.crop_pairs(inputs)
    expected = model.head.targets(teacher, pairs)
    embeddings = torch.randn(expected.cells.shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    losses = []
    for enabled in (False, True):
        with torch.autocast('cpu', dtype=torch.bfloat16, enabled=enabled):
            targets = model.head.targets(teacher, pairs)
            loss, health = model.head(embeddings, targets)
        assert torch.equal(targets.cells, expected.cells)
        losses.append((loss, torch.autograd.grad(loss, embeddings)[0], *health.values(), *targets.health.values()))
    assert all(torch.equal(exact, cast) for exact, cast in zip(*losses, strict=True))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert model.head(embeddings.bfloat16(), expected)[0].dtype == torch.float32


def test_a_few_steps_raise_the_alignment():
    model, inputs = tiny_paka(), random_batch(4)
    wrapper = BackboneHeadConstructor(dict(optimizer=dict(type='AdamW', lr=1e-3)))(model)
    losses = [model.train_step(dict(inputs=inputs), wrapper)['loss'].item() for _ in range(15)]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize('settings', [dict(mask='fg', mask_cfg=dict(min_component=100))], ids=['empty mask'])
def test_a_mask_without_cells_gives_zero_loss_and_gradients(settings):
    outputs, grads = loss_and_gradients(tiny_paka(loss=settings), random_batch(2))
    assert outputs['loss'].item() == 0
    assert all(torch.isfinite(one).all() and not one.any() for one in grads.values())


@pytest.mark.parametrize(('settings', 'message'), [
    (dict(kernel=1), 'kernel=1: a single cell relates to nothing'),
    (dict(mask='objects'), "mask='objects' is unknown"),
])
def test_settings_without_meaning_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PaKALoss(**settings)


def test_findings_name_a_collapse():
    loss = PaKALoss()
    assert loss.health_findings(dict(teacher_spread=0.3, kernel_alignment=0.5)) == []
    assert 'teacher_spread is 0.00010' in loss.health_findings(dict(teacher_spread=1e-4, kernel_alignment=0.5))[0]
    assert loss.health_findings(dict(kernel_alignment=0.05), settled=False) == []
    assert 'kernel_alignment is still 0.05' in loss.health_findings(dict(kernel_alignment=0.05))[0]


@pytest.mark.slow
@pytest.mark.parametrize('loss', [{}, MASKED], ids=['all', 'fg'])
def test_two_processes_equal_one(loss):
    inputs, cfg = random_batch(4), dict(loss=loss)
    ranks = run_distributed(results_of_process, 2, tiny_paka, cfg, inputs)
    outputs, grads = loss_and_gradients(tiny_paka(**copy.deepcopy(cfg)), inputs)
    for name, expected in outputs.items():
        mean = torch.stack([results[0][0][name] for results in ranks]).mean()
        torch.testing.assert_close(mean, expected.detach(), rtol=1e-5, atol=1e-6)
    for results in ranks:
        assert_same_gradients(results[0][1], grads, 2e-5)
