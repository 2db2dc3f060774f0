"""The Runner of our tools: what matters on the console, everything in the log file."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner
from mmengine.runner.checkpoint import CheckpointLoader, find_latest_checkpoint

from leopart_mm.devices import best_device
from leopart_mm.engine import resuming
from leopart_mm.files import shorten

# Methods of MMEngine whose records are long lists: environment and config (300 lines), the order of hooks (50), the
# options of every parameter.
LISTS = {('runner', '_log_env'), ('runner', '__init__')}
# Beginnings of others: options of every parameter, initial values of every parameter, what holds for all runs.
LONG = ('paramwise_options -- ', 'Name of parameter - Init', 'Distributed training is not used, all SyncBatch')
# Those that MMEngine adds by itself and leaves out where the config says None; of other names it refuses None.
MMENGINES_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')


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

    def register_default_hooks(self, hooks: Mapping[str, Hook | dict | None] | None = None) -> None:
        """Register MMEngine's hooks and those of the config; None leaves a hook out, whoever brought it."""
        kept = {name: hook for name, hook in (hooks or {}).items() if hook is not None or name in MMENGINES_HOOKS}
        super().register_default_hooks(kept)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """The training loop; says how many images it reads."""
        built = super().build_train_loop(loop)
        return built if built is loop else self._tell('Training', built)

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """The validation loop; says how many images it reads."""
        built = super().build_val_loop(loop)
        return built if built is loop else self._tell('Validation', built)

    def build_test_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """The test loop; says how many images it reads."""
        built = super().build_test_loop(loop)
        return built if built is loop else self._tell('Evaluation', built)

    def train(self) -> torch.nn.Module:
        """Train; hooks with `after_failure` hear of an error or an interruption that ends it early."""
        try:
            return super().train()
        except BaseException as error:
            self.call_hook('after_failure', error=error)
            raise

    def load_or_resume(self) -> None:
        """Load or resume; says what the schedules leave out, and what is not as it was."""
        if self._resume and self._load_from is None:
            latest = find_latest_checkpoint(self.work_dir)
            if latest is None:
                self.logger.warning(f'--resume: there is no checkpoint in {self.work_dir}, so training starts from the '
                                    'beginning (--work-dir names another folder).')
            elif (here := Path(self.work_dir) / Path(latest).name).is_file():
                self._load_from = str(here)  # the folder may have been moved or copied since
        super().load_or_resume()
        if not isinstance(self._train_loop, BaseLoop):
            return
        batch = self._batch()
        if self._resume:
            change = resuming.batch_changes(self.message_hub.get_info(resuming.BATCH, None), batch)
            if change:
                self.logger.warning(change)
        self.message_hub.update_info(resuming.BATCH, batch)
        by_epoch = isinstance(self._train_loop, EpochBasedTrainLoop)
        done, total, unit = ((self.epoch, self.max_epochs, 'epochs') if by_epoch else
                             (self.iter, self.max_iters, 'iterations'))
        if (text := resuming.nothing_left(done, total, unit)) is not None:
            self.logger.warning(text)
        for text in resuming.early_ends(self._schedulers(), self.max_iters, self.max_epochs):
            self.logger.warning(text)

    def resume(self, filename: str, resume_optimizer: bool = True, resume_param_scheduler: bool = True,
               map_location: str | Callable = 'default') -> None:
        """Resume a run; where its config has changed since, schedules follow the config, see `resuming`.

        Raises:
            NotResumableError: If the file holds no training run.
        """
        checkpoint = CheckpointLoader.load_checkpoint(filename, 'cpu', logger=None)
        resuming.check_resumable(checkpoint, str(filename))
        single = isinstance(self.optim_wrapper, OptimWrapper)  # its groups are the optimiser's, and the base values
        if single and resume_optimizer:
            resuming.check_trained(checkpoint, self.optim_wrapper.optimizer.param_groups, str(filename))
        del checkpoint
        fresh = resuming.Schedules.of(self._schedulers(), self.optim_wrapper.param_groups) if single else None
        super().resume(filename, resume_optimizer, resume_param_scheduler, map_location)
        self._keep_epoch()
        if fresh is None or not (resume_optimizer and resume_param_scheduler):
            return
        length = len(self.train_dataloader) if isinstance(self._train_loop, EpochBasedTrainLoop) else None
        changes = fresh.follow(self._schedulers(), self.optim_wrapper.param_groups, self.iter, length)
        if changes:
            self.logger.warning('The config is not that of the checkpoint: schedules continue as if the whole run had '
                                f'this config. {shorten(changes, 6)}')

    def _keep_epoch(self) -> None:
        """Where an epoch has another number of steps than before, count the steps done by the new length."""
        before = (self.message_hub.get_info(resuming.BATCH, None) or {}).get('epoch_length')
        now = self._batch()['epoch_length']
        if isinstance(self._train_loop, EpochBasedTrainLoop) and before and before != now:
            done = self._train_loop._iter
            self._train_loop._iter = round(done * now / before)
            self.logger.warning(f'An epoch has {now} steps, it had {before}: step {done} counts as '
                                f'{self._train_loop._iter}, so that epochs and schedules continue where they were.')

    def _batch(self) -> dict[str, int]:
        """What a step consists of."""
        loader = self.train_dataloader
        sized = isinstance(self._train_loop, EpochBasedTrainLoop)
        return dict(batch_size=loader.batch_size or 0, processes=self.world_size,
                    epoch_length=len(loader) if sized else 0)

    def _schedulers(self) -> list:
        return self.param_schedulers if isinstance(self.param_schedulers, list) else []

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
    kind = best_device().type
    device = {'cuda': lambda: torch.cuda.get_device_name(0), 'mps': lambda: 'an Apple GPU (mps)',
              'cpu': lambda: f'CPU with {torch.get_num_threads()} threads'}[kind]()
    return device if world_size == 1 else f'{world_size} processes, each on {device}'


def describe_data(dataloader: Any) -> str:
    """Number of images of a data loader, and where they come from."""
    dataset = dataloader.dataset
    root = getattr(dataset, 'data_root', None)
    return f'{len(dataset)} images' + (f' of {root}' if root else '')
