"""TrainingPageHook: a page with the curves of a training, refreshed while it runs."""

import math
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from leopart_mm.engine.training_curves import TrainingCurves
from leopart_mm.engine.wrapping import unwrap
from leopart_mm.registry import HOOKS
from leopart_mm.visualization.training_page import TrainingReport, read_state, write_training_page

CURVES = 'training_curves'  # in the message hub, hence in checkpoints
HEALTH = 'health_findings'  # HealthHook leaves them there
VERDICT = 'verdict'  # the words of a verdict, if a hook leaves some there
SHARE = 200  # a write may take a 200th of the time since the last one


@HOOKS.register_module()
class TrainingPageHook(Hook):
    """Writes ``<work_dir>/training.html``: where the training stands, whether it is healthy, and its curves.

    It reads what MMEngine logs anyway, so that it shows the loss, learning rates, scores of validation and the
    method's own numbers of any model. The page holds everything itself: no other file, no network. After --resume the
    curves go on as if nothing had happened, with a dashed line at the step. tools/train.py adds this hook to every run.

    A page is written at most so often that writing takes less than half a percent of the time.

    Args:
        interval: Number of iterations that a point of a curve averages. None (default): a 200th of the run, at most 50.
        refresh: Seconds after which a browser loads the page of a running training again. Defaults to 10.
        filename: Name of the page in the work folder. Defaults to 'training.html'.

    Raises:
        ValueError: If `interval` or `refresh` is below 1.
    """

    priority = 'LOW'  # after the numbers of a step are known, before the checkpoint is saved

    def __init__(self, interval: int | None = None, refresh: int = 10, filename: str = 'training.html') -> None:
        if (interval is not None and interval < 1) or refresh < 1:
            raise ValueError(f'TrainingPageHook: interval={interval} and refresh={refresh} must be at least 1.')
        self.interval, self.refresh, self.filename = interval, refresh, filename
        self.curves = TrainingCurves()
        self.written = self.cost = 0.
        self.writable, self.training = True, False

    def before_train(self, runner: Runner) -> None:
        """Begin curves, or go on with those of the checkpoint; the page is there at once."""
        hub, self.training = runner.message_hub, True
        self.every = self.interval or min(max(runner.max_iters // 200, 1), 50)
        self.curves = TrainingCurves(hub.get_info(CURVES, None) if runner.iter else None)
        self.curves.state['run'] = self.curves.state['run'] or uuid.uuid4().hex
        if runner.iter:
            self.curves.resume(runner.iter, read_state(self._path(runner)) if is_main_process() else None)
        else:
            hub.update_info(HEALTH, None)
            hub.update_info(VERDICT, None)
        hub.update_info(CURVES, self.curves.state)
        self._write(runner, 'Starting.')
        if is_main_process() and self.writable:
            runner.logger.info(f'Curves of this run, refreshed while it runs: {self._path(runner)}')

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Take the means of the last iterations, once per interval; write the page if that is cheap enough."""
        step = runner.iter + 1
        if step % self.every and step != runner.max_iters:
            return
        window = step % self.every or self.every
        self.curves.add(step, {
            name.removeprefix('train/'): float(buffer.mean(window))
            for name, buffer in runner.message_hub.log_scalars.items() if name.startswith('train/')})
        if time.perf_counter() - self.written >= SHARE * self.cost:
            self._write(runner, self._progress(runner, step))

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        """Take the scores of a validation during training."""
        if metrics and self.training:
            self.curves.add(runner.iter, {f'val/{name}': float(value) for name, value in metrics.items()
                                          if isinstance(value, int | float) and not isinstance(value, bool)})
            self._write(runner, self._progress(runner, runner.iter))

    def after_train(self, runner: Runner) -> None:
        """Write the last page."""
        self.training = False
        done, total = runner.iter, runner.max_iters
        self._write(runner, f'Finished: {done} iterations.' if done >= total else
                    f'Ended early, after {done} of {total} iterations.', running=False)

    def after_failure(self, runner: Runner, error: BaseException) -> None:
        """Say on the page why a training ended early; `ConsoleRunner` calls this."""
        if not self.training:
            return
        if isinstance(error, KeyboardInterrupt):
            text = f'Interrupted after {runner.iter} iterations. The same command with --resume continues.'
        else:
            text = f'Stopped after {runner.iter} iterations: {error}'
        self._write(runner, text, running=False)

    def _progress(self, runner: Runner, step: int) -> str:
        hub = runner.message_hub
        total, times = runner.max_iters, hub.log_scalars.get('train/time')
        text = f'Running: iteration {step} of {total}'
        if times is not None and len(times.data[0]):
            seconds = float(times.mean(100))
            text += f', {seconds:.3g} s each, about {duration(seconds * (total - step))} left'
        return f'{text}. Written at {time.strftime("%H:%M:%S")}.'

    def _path(self, runner: Runner) -> Path:
        return Path(runner.work_dir) / self.filename

    def _write(self, runner: Runner, status: str, running: bool = True) -> None:
        """Write the page; a page that cannot be written never stops a training."""
        if not is_main_process() or not self.writable:
            return
        start = time.perf_counter()
        hub, model = runner.message_hub, unwrap(runner.model)
        findings = hub.get_info(HEALTH, None)
        report = TrainingReport(
            title=f'Training {Path(runner.work_dir).name}', status=status, running=running, facts=_facts(runner),
            curves=self.curves.curves, resumed=self.curves.state['resumed'], total=runner.max_iters,
            warnings=None if not hasattr(model, 'health_findings') else (findings or {}).get('messages', []),
            judged_at=None if findings is None else findings['step'], notes=getattr(model, 'health_notes', {}),
            verdict=hub.get_info(VERDICT, None), state=self.curves.state)
        try:
            write_training_page(self._path(runner), report, self.refresh)
        except OSError as error:
            self.writable = False
            print_log(f'The page of curves cannot be written, training goes on without it: {error}', logger='current',
                      level=30)
        self.written = time.perf_counter()
        self.cost = self.written - start


def duration(seconds: float) -> str:
    """A duration in words.

    >>> duration(42), duration(4000), duration(200000)
    ('42 s', '1 h 7 min', '2 days 8 h')
    """
    if not math.isfinite(seconds) or seconds < 0:
        return 'an unknown time'
    if seconds < 90:
        return f'{seconds:.0f} s'
    minutes = round(seconds / 60)
    if minutes < 60:
        return f'{minutes} min'
    if minutes < 48 * 60:
        return f'{minutes // 60} h {minutes % 60} min'
    hours = round(seconds / 3600)
    return f'{hours // 24} days {hours % 24} h'


def _facts(runner: Runner) -> list[str]:
    """What was run, for the page."""
    config = getattr(runner.cfg, 'filename', None) or runner.experiment_name
    facts = [f'Config: {config}', f'Log: {getattr(runner, "_log_dir", runner.work_dir)}', f'Seed: {runner.seed}']
    dataset = getattr(runner.train_dataloader, 'dataset', None)
    if hasattr(dataset, '__len__'):
        facts.append(f'Images: {len(dataset)}, of {getattr(dataset, "data_root", None) or "several folders"}')
    facts.append(f'Scalars of every step: {Path(getattr(runner, "_log_dir", runner.work_dir)) / "vis_data"}')
    return facts
