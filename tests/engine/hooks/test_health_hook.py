"""Warnings and errors that name the likely cause."""

import logging
from types import SimpleNamespace

import pytest
import torch

from leopart_mm.engine.hooks import DivergenceError, HealthHook


def _runner(value=0., **wrapper):
    model = torch.nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.fill_(value)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.25)
    return SimpleNamespace(
        model=model, iter=6, optim_wrapper=SimpleNamespace(optimizer=optimizer, **wrapper), logger=logging.getLogger())


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


def test_collapse_is_reported_once_a_window(caplog):
    hook, runner = HealthHook(window=4, patience=1), _runner()
    for _ in range(8):
        hook.after_train_iter(runner, 0, outputs=_outputs(prototype_usage=0.01, ce_over_log_k=0.999))
    messages = [record.message for record in caplog.records]
    assert len(messages) == 4
    assert sum('collapse' in message for message in messages) == 2
    assert sum('still 1.00 log K' in message for message in messages) == 2


def test_healthy_numbers_and_other_models_stay_silent(caplog):
    hook, runner = HealthHook(window=2, patience=1), _runner()
    for _ in range(4):
        hook.after_train_iter(runner, 0, outputs=_outputs(prototype_usage=0.9, ce_over_log_k=0.6))
        hook.after_train_iter(runner, 0, outputs=_outputs())
        hook.after_train_iter(runner, 0, outputs=None)
    assert not caplog.records


def test_orders_that_nobody_can_tell_or_follow_are_reported(caplog):
    hook, runner = HealthHook(window=2, patience=2), _runner()
    for _ in range(4):
        hook.after_train_iter(runner, 0, outputs=_outputs(target_entropy=0.999, rank_agreement=0.01))
    messages = [record.message for record in caplog.records]
    assert sum('all patches become alike' in message for message in messages) == 2
    assert sum('rank_agreement is still 0.01' in message for message in messages) == 1
    caplog.clear()
    hook = HealthHook(window=1, patience=1)
    hook.after_train_iter(runner, 0, outputs=_outputs(target_entropy=0.85, rank_agreement=0.4))
    assert not caplog.records
