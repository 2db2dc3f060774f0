"""The console of a run: a few lines that matter; the log file has everything."""

import logging

from mmengine.logging import MMLogger

from leopart_mm.engine.console_runner import ConsoleRunner, is_console
from tests.engine.test_resume import run_config


def test_long_lists_go_to_the_file_only(tmp_path, capfd):
    config = run_config(tmp_path, by_epoch=False, save_every=6)
    config.experiment_name = f'console_{tmp_path.parent.name}'
    runner = ConsoleRunner.from_cfg(config)
    runner.train()
    printed = ''.join(capfd.readouterr())
    log, = tmp_path.glob('*/*.log')
    written = log.read_text()
    for text in ('Runtime environment', 'optim_wrapper = dict(', 'Hooks will be executed', 'Name of parameter'):
        assert text in written
        assert text not in printed
    assert f'log {log.parent}, seed 7, CPU with ' in printed
    assert printed.count('Training on 6 images') == 1
    assert printed.count('loss: ') == written.count('loss: ') == 6
    assert len(printed.splitlines()) < 40


def test_warnings_are_always_shown(tmp_path, capfd):
    config = run_config(tmp_path, by_epoch=False, save_every=6)
    config.experiment_name = f'warnings_{tmp_path.parent.name}'
    logger = ConsoleRunner.from_cfg(config).logger
    capfd.readouterr()
    assert isinstance(logger, MMLogger)
    assert sum(map(is_console, logger.handlers)) == 1
    logger.warning('Name of parameter - Initialization')
    logger.log(logging.INFO, 'Name of parameter - Initialization of %s', 'x')
    assert ''.join(capfd.readouterr()).count('Name of parameter') == 1


def test_none_leaves_out_any_hook(tmp_path):
    """MMEngine refuses None for hooks that are not its own, with an AssertionError without words."""
    config = run_config(tmp_path, by_epoch=False, save_every=6)
    config.experiment_name = f'none_{tmp_path.parent.name}'
    config.default_hooks.update(verdict=None, timer=None)
    kinds = {type(hook).__name__ for hook in ConsoleRunner.from_cfg(config).hooks}
    assert not kinds & {'VerdictHook', 'IterTimerHook'}
    assert {'LoggerHook', 'DistSamplerSeedHook'} <= kinds
