"""The page of curves beside a training: continuous after --resume, cheap, and never in the way."""

import time
from types import SimpleNamespace

import pytest
from mmengine.hooks import Hook

from leopart_mm.engine.cli import add_tensorboard
from leopart_mm.engine.console_runner import ConsoleRunner
from leopart_mm.engine.hooks import HealthHook, TrainingPageHook
from leopart_mm.engine.hooks.training_page_hook import duration
from leopart_mm.visualization.training_page import read_state
from tests.engine.test_resume import Killed, run_config

OF_TIME = {'time', 'data_time', 'memory'}


class KillAfter(Hook):
    """Ends a run after a step, as Ctrl-C or an error would."""

    priority = 'LOWEST'

    def __init__(self, step, error):
        self.step, self.error = step, error

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.step:
            raise self.error


def train(folder, resume=False, kill=None, **page):
    cfg = run_config(folder, by_epoch=False, save_every=2, resume=resume)
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='leopart_mm.TrainingPageHook', **page)]
    cfg.experiment_name = f'page_{time.time_ns()}'
    cfg.log_processor = dict(by_epoch=False)
    runner = ConsoleRunner.from_cfg(cfg)
    if kill is not None:
        runner.register_hook(KillAfter(*kill))
    runner.train()
    return runner


def curves_of(folder):
    return {name: points for name, points in read_state(folder / 'training.html')['curves'].items()
            if name not in OF_TIME}


def test_a_resumed_run_has_the_curves_of_an_uninterrupted_one(tmp_path):
    train(tmp_path / 'whole')
    with pytest.raises(Killed):
        train(tmp_path / 'parts', kill=(3, Killed('no memory <left>')))
    text = (tmp_path / 'parts/training.html').read_text()
    assert 'Stopped after 2 iterations: no memory &lt;left&gt;' in text
    assert 'http-equiv="refresh"' not in text
    train(tmp_path / 'parts', resume=True)
    whole, parts = curves_of(tmp_path / 'whole'), curves_of(tmp_path / 'parts')
    assert whole == parts
    assert whole['loss']['steps'] == [1, 2, 3, 4, 5, 6]
    assert {'lr', 'prototype_usage', 'agreement'} <= set(whole)
    assert read_state(tmp_path / 'parts/training.html')['resumed'] == [2]
    text = (tmp_path / 'parts/training.html').read_text()
    assert 'Finished: 6 iterations.' in text
    assert 'near 0: collapse' in text  # what the method's numbers mean
    assert text.count('resumed at 2') == text.count('<svg')


def test_an_interruption_says_how_to_continue(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, kill=(3, KeyboardInterrupt()), interval=2)
    assert 'The same command with --resume continues.' in (tmp_path / 'training.html').read_text()
    assert curves_of(tmp_path)['loss']['steps'] == [2]


def test_writing_takes_less_than_a_percent(tmp_path, monkeypatch):
    """The next page waits until 200 times the duration of the last one has passed."""
    clock = SimpleNamespace(now=0.)
    written = []
    monkeypatch.setattr('leopart_mm.engine.hooks.training_page_hook.time.perf_counter', lambda: clock.now)

    def slow(path, report, refresh):
        clock.now += 1.
        written.append(report.status)

    monkeypatch.setattr('leopart_mm.engine.hooks.training_page_hook.write_training_page', slow)
    hook = TrainingPageHook(interval=1)
    hub = SimpleNamespace(log_scalars={}, get_info=lambda key, default=None: default, update_info=lambda *a: None)
    runner = SimpleNamespace(iter=0, max_iters=10**6, message_hub=hub, work_dir=str(tmp_path), cfg={}, seed=0,
                             experiment_name='a', model=None, train_dataloader=None,
                             logger=SimpleNamespace(info=lambda text: None))
    hook.before_train(runner)
    for runner.iter in range(10_000):
        clock.now += 0.1  # a step
        hook.after_train_iter(runner, 0)
    assert 4 <= len(written) - 1 <= 6  # 1000 s of training
    assert written[0] == 'Starting.'


def test_a_page_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / 'training.html').mkdir(parents=True)
    assert train(tmp_path).iter == 6


def test_health_findings_reach_the_page():
    from tests.engine.hooks.test_health_hook import _outputs, _runner
    from tests.models.selfsup.builders import tiny_leopart
    found = {}
    runner = _runner(model=tiny_leopart())
    runner.message_hub = SimpleNamespace(update_info=found.__setitem__)
    hook = HealthHook(window=2, patience=1)
    for _ in range(2):
        hook.after_train_iter(runner, 0, outputs=_outputs(prototype_usage=0.01))
    assert found['health_findings']['step'] == 7
    assert 'collapse' in found['health_findings']['messages'][0]


def test_durations_are_words():
    assert [duration(value) for value in (0.4, 3600, float('nan'))] == ['0 s', '1 h 0 min', 'an unknown time']


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match='interval=0'):
        TrainingPageHook(interval=0)


def test_tensorboard_gets_the_scalars(tmp_path):
    """What --tensorboard adds to a config ends in event files that TensorBoard reads."""
    pytest.importorskip('tensorboard', reason="pip install 'leopart_mm[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    cfg = run_config(tmp_path, by_epoch=False, save_every=6)
    add_tensorboard(cfg)
    cfg.experiment_name = cfg.visualizer.name = f'tensorboard_{time.time_ns()}'
    cfg.log_processor = dict(by_epoch=False)
    ConsoleRunner.from_cfg(cfg).train()
    file, = tmp_path.glob('*/vis_data/events.out.tfevents.*')
    events = EventAccumulator(str(file.parent))
    events.Reload()
    assert [event.step for event in events.Scalars('loss')] == [1, 2, 3, 4, 5, 6]
