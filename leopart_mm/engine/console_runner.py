"""The Runner of our tools: what matters on the console, everything in the log file."""

import logging
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.runner import BaseLoop, Runner

# Methods of MMEngine whose records are long lists: environment and config (300 lines), the order of hooks (50), the
# options of every parameter.
LISTS = {('runner', '_log_env'), ('runner', '__init__')}
# Beginnings of others: options of every parameter, initial values of every parameter, what holds for all runs.
LONG = ('paramwise_options -- ', 'Name of parameter - Initialization', 'Distributed training is not used, all SyncBatch')


class ConsoleRunner(Runner):
    """A Runner that keeps long lists in the log file and says in a few lines what it works on."""

    def build_logger(self, log_level: int | str = 'INFO', log_file: str | None = None, **kwargs: Any) -> MMLogger:
        """The logger; its console leaves out what is long and not a warning."""
        logger = super().build_logger(log_level, log_file, **kwargs)
        for handler in logger.handlers:
            if is_console(handler):
                handler.addFilter(is_short)
        return logger

    def _log_env(self, env_cfg: dict) -> None:
        super()._log_env(env_cfg)
        self.logger.info(f'Config {getattr(self.cfg, "filename", None) or self.experiment_name}, log {self._log_dir}, '
                         f'seed {self.seed}, {describe_device(self.world_size)}')

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """The training loop; says how many images it reads."""
        return self._tell('Training', super().build_train_loop(loop))

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """The validation loop; says how many images it reads."""
        return self._tell('Validation', super().build_val_loop(loop))

    def build_test_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """The test loop; says how many images it reads."""
        return self._tell('Evaluation', super().build_test_loop(loop))

    def _tell(self, what: str, loop: BaseLoop) -> BaseLoop:
        fit = getattr(loop, 'fit_dataloader', None)
        if fit is not None and fit is not loop.dataloader:
            self.logger.info(f'Fitting on {describe_data(fit)}')
        self.logger.info(f'{what} on {describe_data(loop.dataloader)}')
        return loop


def is_console(handler: logging.Handler) -> bool:
    """Whether a handler writes to the terminal."""
    return isinstance(handler, logging.StreamHandler) and not hasattr(handler, 'baseFilename')


def is_short(record: logging.LogRecord) -> bool:
    """Whether a record belongs on the console: no list of MMEngine's, or a warning."""
    if record.levelno > logging.INFO:
        return True
    return (record.module, record.funcName) not in LISTS and not str(record.msg).startswith(LONG)


def describe_device(world_size: int = 1) -> str:
    """What computes, in words."""
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name(0)
    elif getattr(torch.backends, 'mps', None) is not None and torch.backends.mps.is_available():
        device = 'Apple GPU (mps)'
    else:
        device = f'CPU with {torch.get_num_threads()} threads'
    return device if world_size == 1 else f'{world_size} processes, each on {device}'


def describe_data(dataloader: Any) -> str:
    """Number of images of a data loader, and where they come from."""
    dataset = dataloader.dataset
    root = getattr(dataset, 'data_root', None)
    return f'{len(dataset)} images' + (f' of {root}' if root else '')
