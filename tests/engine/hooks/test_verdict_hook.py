"""The verdict at the end of a training: seeded, undisturbing, the same after --resume."""

import time

import pytest
import torch
from mmengine.config import Config

from leopart_mm.datasets.sample import write_sample
from leopart_mm.engine.console_runner import ConsoleRunner
from leopart_mm.engine.hooks import VerdictHook
from leopart_mm.evaluation.verdict_study import evidence
from tests.engine.hooks.test_training_page_hook import KillAfter
from tests.engine.test_resume import Killed
from tests.tools.test_train_and_test import TRAIN


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('verdict')
    write_sample(folder, num_images=16, size=64)
    return folder


def train(data, folder, resume=False, kill=None, verdict=True, **options):
    cfg = Config.fromstring(TRAIN.replace("'nowhere'", repr(str(data))), '.py')
    cfg.work_dir, cfg.resume, cfg.experiment_name = str(folder), resume, f'verdict_{time.time_ns()}'
    if verdict:
        cfg.default_hooks.verdict = dict(type='leopart_mm.VerdictHook', images=12, size=64, **options)
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='leopart_mm.TrainingPageHook')]
    runner = ConsoleRunner.from_cfg(cfg)
    if kill is not None:
        runner.register_hook(KillAfter(*kill))
    runner.train()
    return runner, runner.message_hub.get_info('verdict', None)


def test_the_verdict_is_on_the_page_and_disturbs_nothing(data, tmp_path):
    with_verdict, verdict = train(data, tmp_path / 'a')
    without, none = train(data, tmp_path / 'b', verdict=False)
    assert none is None
    for name, value in with_verdict.model.state_dict().items():
        assert torch.equal(value, without.model.state_dict()[name]), name
    assert verdict['outcome'] in ('better', 'worse', 'no clear change')
    page = (tmp_path / 'a/training.html').read_text()
    assert verdict['text'] in page
    assert 'Is it better now?' in page
    assert evidence() in page
    assert 'Is it better now?' not in (tmp_path / 'b/training.html').read_text()
    log, = (tmp_path / 'a').glob('*/*.log')
    assert f'Is it better now? {verdict["text"]}' in log.read_text()


def test_a_resumed_run_compares_with_the_true_start(data, tmp_path):
    _, whole = train(data, tmp_path / 'whole')
    with pytest.raises(Killed):
        train(data, tmp_path / 'parts', kill=(3, Killed()))
    _, parts = train(data, tmp_path / 'parts', resume=True)
    assert parts == whole


def test_a_run_that_began_without_the_hook_has_no_verdict(data, tmp_path, caplog):
    with pytest.raises(Killed):
        train(data, tmp_path, kill=(3, Killed()), verdict=False)
    _, verdict = train(data, tmp_path, resume=True)
    assert verdict is None
    assert sum('began without VerdictHook' in log.read_text() for log in tmp_path.glob('*/*.log')) == 1


def test_too_few_images_are_named(data, tmp_path):
    with pytest.raises(ValueError, match='images=3 must be at least 8'):
        VerdictHook(images=3)
    small = tmp_path / 'small'
    write_sample(small, num_images=6, size=64)
    for checks, kept in ((None, ''), (2, f' {tmp_path}/run/best_by_verdict.pth holds the weights from before it.')):
        _, verdict = train(small, tmp_path / 'run', checks=checks)
        assert verdict is None
        log = sorted((tmp_path / 'run').glob('*/*.log'))[-1]
        assert f'6 images can be read, and at least 8 are needed.{kept}\n' in log.read_text()
