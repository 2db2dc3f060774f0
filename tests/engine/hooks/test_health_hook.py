"""Warnings and errors that name the likely cause."""

import logging
from types import SimpleNamespace

import pytest
import torch

from leopart_mm.engine.hooks import DivergenceError, HealthHook
from tests.models.selfsup.builders import tiny_leopart, tiny_neco


def _runner(value=0., model=None, **wrapper):
    if model is None:
        model = torch.nn.Linear(2, 2)
        torch.nn.init.constant_(model.weight, value)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.25)
    return SimpleNamespace(
        model=model, iter=6, optim_wrapper=SimpleNamespace(optimizer=optimizer, **wrapper), logger=logging.getLogger(),
        message_hub=SimpleNamespace(update_info=lambda name, value: None))


def _outputs(loss=1., **numbers):
    return {name: torch.tensor(value) for name, value in dict(loss=loss, **numbers).items()}


def test_nan_after_broken_weights_blames_the_learning_rate():
    with pytest.raises(DivergenceError, match=r'nan at iteration 7 \(learning rates 0.25.*lower the learning rate'):
        HealthHook().after_train_iter(_runner(float('nan')), 0, outputs=_outputs(float('nan')))


def test_nan_with_sound_weights_blames_input_or_precision():
    with pytest.raises(DivergenceError, match='look at the input'):
        HealthHook().after_train_iter(_runner(), 0, outputs=_outputs(float('inf')))
    hook, runner = HealthHook(skipped_steps=2), _runner(loss_scaler=None, cast_dtype=torch.float16)
    for _ in range(2):  # dynamic loss scaling skips these
        hook.after_train_iter(runner, 0, outputs=_outputs(float('inf')))
    with pytest.raises(DivergenceError, match=r'precision torch.float16.*bfloat16'):
        hook.after_train_iter(runner, 0, outputs=_outputs(float('inf')))


def test_collapse_is_reported_once_per_window(caplog):
    hook, runner = HealthHook(window=4, patience=1), _runner(model=tiny_leopart())
    for _ in range(8):
        hook.after_train_iter(runner, 0, outputs=_outputs(prototype_usage=0.01, ce_over_log_k=0.999))
    messages = [record.message for record in caplog.records]
    assert len(messages) == 4
    assert sum('collapse' in message for message in messages) == 2
    assert sum('still 1.00 log K' in message for message in messages) == 2


def test_healthy_numbers_and_other_models_stay_silent(caplog):
    for model in (tiny_leopart(), tiny_neco(), torch.nn.Linear(2, 2)):
        hook, runner = HealthHook(window=2, patience=1), _runner(model=model)
        hook.before_train(runner)
        for _ in range(4):
            hook.after_train_iter(runner, 0, outputs=_outputs(prototype_usage=0.9, ce_over_log_k=0.6))
            hook.after_train_iter(runner, 0, outputs=_outputs(target_entropy=0.85, rank_agreement=0.4))
            hook.after_train_iter(runner, 0, outputs=_outputs())
            hook.after_train_iter(runner, 0, outputs=None)
    assert not caplog.records


def test_orders_that_nobody_can_tell_or_follow_are_reported(caplog):
    hook, runner = HealthHook(window=2, patience=2), _runner(model=tiny_neco())
    for _ in range(4):
        hook.after_train_iter(runner, 0, outputs=_outputs(target_entropy=0.999, rank_agreement=0.01))
    messages = [record.message for record in caplog.records]
    assert sum('all patches become alike' in message for message in messages) == 2
    assert sum('rank_agreement is still 0.01' in message for message in messages) == 1


def test_numbers_are_averaged_over_the_window_and_judged_by_the_given_thresholds(caplog):
    for limits, reported in ((dict(), 0), (dict(min_usage=0.5), 1)):
        hook, runner = HealthHook(window=2, **limits), _runner(model=tiny_leopart())
        for usage in (0.2, 0.6):
            hook.after_train_iter(runner, 0, outputs=_outputs(prototype_usage=usage))
        assert sum('prototype_usage is 0.40' in record.message for record in caplog.records) == reported


def test_a_threshold_that_the_model_does_not_have_is_named(caplog):
    HealthHook(min_usage=0.3, windw=7).before_train(_runner(model=tiny_neco()))
    message, = (record.message for record in caplog.records)
    assert message == ('HealthHook: NeCo has no threshold min_usage, windw; it has max_target_entropy, '
                       'min_rank_agreement')
