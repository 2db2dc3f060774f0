"""Numbers that are read when somebody looks."""

import copy
import io
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from leopart_mm.engine.hooks import DivergenceError, HealthHook, LateInfoHook
from leopart_mm.engine.late_scalars import LateHistory
from tests.engine.hooks.test_health_hook import _runner
from tests.no_sync import fake_cuda

VALUES = (3., 1., 4., 1.5)


def hub_of(name, values, resumed=()):
    hub = MessageHub.get_instance(name)
    for value in resumed:
        hub.update_scalar('train/loss', value)
    hook = LateInfoHook()
    for step, value in enumerate(values):
        hook.after_train_iter(SimpleNamespace(message_hub=hub), step, outputs=dict(loss=value))
    return hub


def test_numbers_on_a_gpu_are_read_in_one_trip_when_somebody_looks():
    expected = hub_of('late-cpu', [torch.tensor(value) for value in VALUES], resumed=(7., )).get_scalar('train/loss')
    assert type(expected) is HistoryBuffer  # MMEngine's own on a CPU
    with fake_cuda() as cuda:
        loss = [cuda(torch.tensor(value)) for value in VALUES]
        with cuda.strict():
            hub = hub_of('late-gpu', loss, resumed=(7., ))
        history = hub.get_scalar('train/loss')
        assert isinstance(history, LateHistory)
        assert history.mean(2) == expected.mean(2) == 2.75
        assert cuda.trips == ['tolist']
        assert history.current() == 1.5
        assert history.mean() == expected.mean()
        assert cuda.trips == ['tolist']
        history.update(cuda(torch.tensor(5.)))
        kept = copy.deepcopy(history)
        stream = io.BytesIO()
        torch.save(hub.state_dict(), stream)
    assert type(kept) is HistoryBuffer
    assert kept.data[0].tolist() == [7., *VALUES, 5.]
    assert kept.data[1].tolist() == [1] * 6
    stream.seek(0)
    saved = torch.load(stream, weights_only=False)['log_scalars']['train/loss']
    assert type(saved) is HistoryBuffer
    assert saved.data[0].tolist() == [7., *VALUES, 5.]


def test_losses_on_a_gpu_are_checked_at_intervals_and_before_a_checkpoint():
    with fake_cuda() as cuda:
        good, bad = (dict(loss=cuda(torch.tensor(value))) for value in (1., float('nan')))
        hook, runner = HealthHook(gpu_interval=3), _runner()
        with cuda.strict():
            for runner.iter in range(2):
                hook.after_train_iter(runner, 0, outputs=good)
        hook.after_train_iter(runner, 0, outputs=good)
        assert cuda.trips == ['tolist']
        with cuda.strict():
            runner.iter = 10
            hook.after_train_iter(runner, 0, outputs=bad)
            runner.iter = 11
            hook.after_train_iter(runner, 0, outputs=good)
        with pytest.raises(DivergenceError, match='nan at iteration 11'):
            hook.before_save_checkpoint(runner, {})
        hook.after_train_iter(runner, 0, outputs=bad)
        with pytest.raises(DivergenceError, match='nan at iteration 12'):
            hook.after_train(runner)
