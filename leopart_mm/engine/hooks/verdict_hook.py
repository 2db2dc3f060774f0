"""VerdictHook: are the features better after the training than before? Said without labels, in words."""

import shutil
import time
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from leopart_mm.datasets.image_reading import ImageReadError
from leopart_mm.datasets.transforms import LoadImage
from leopart_mm.engine.hooks.atomic_checkpoint_hook import make_saving_atomic
from leopart_mm.engine.hooks.training_page_hook import VERDICT
from leopart_mm.engine.loops.undisturbed import undisturbed
from leopart_mm.engine.wrapping import unwrap
from leopart_mm.evaluation.feature_numbers import VERDICT_NUMBERS, feature_numbers
from leopart_mm.evaluation.image_views import sample_evenly, see_twice
from leopart_mm.evaluation.verdict import MIN_IMAGES, compare
from leopart_mm.evaluation.verdict_course import (
    START,
    best_step,
    check,
    course_table,
    course_words,
    has_become_worse,
    kept_step,
)
from leopart_mm.evaluation.verdict_study import evidence
from leopart_mm.files import write_whole
from leopart_mm.registry import HOOKS

LARGEST = 224  # pixels; larger images cost minutes on a CPU
# In the message hub, hence in checkpoints: a resumed run compares with the true start, and goes on counting.
BEFORE, CHECKS = 'verdict_before', 'verdict_checks'
BEST, FIRST = 'best_by_verdict.pth', 'before_training.pth'
PATIENCE = 2
Numbers = dict[str, list[float]]


@HOOKS.register_module()
class VerdictHook(Hook):
    """Measures the backbone on some training images before the first and after the last step, and says what changed.

    No labels are used. docs/verdict.md shows which numbers decide, and how well they agree with mIoU where there are
    labels. It takes seconds, disturbs neither random states nor the training, and gives the same words again for the
    same seed. The words are logged and stand on the page of the training (`TrainingPageHook`).

    With `checks` it also measures while the training runs. ``<work_dir>/best_by_verdict.pth`` then holds the weights
    that were clearest better than the start, or the start itself while none were. When it has become worse, the
    training ends early, and the file holds the start. This state lies in checkpoints, so that a resumed run does what
    an uninterrupted one does. ``before_training.pth`` beside it is always the start.

    Args:
        images: Number of training images that are looked at. Defaults to 64.
        size: Side in pixels of a square with as many pixels as an image is resized to. None (default): that of the
            global crops, at most 224.
        seed: Seed of the choice of images and of their second views. Defaults to 0.
        backbone: Name of the model's part that is measured. Defaults to 'backbone'.
        checks: Number of measurements while the training runs, evenly spaced, the last one at its end. None (default):
            only one after the training, and no file of the best weights.
        patience: The training ends early when this many checks in a row were worse than the start. None: it never
            does, and two worse ones at the end count. Defaults to 2.

    Raises:
        ValueError: If `images` is below the number that a verdict takes, or `checks` or `patience` below 1.
    """

    priority = 'BELOW_NORMAL'  # before the page and the checkpoint of the same step

    def __init__(self, images: int = 64, size: int | None = None, seed: int = 0, backbone: str = 'backbone',
                 checks: int | None = None, patience: int | None = PATIENCE) -> None:
        if images < MIN_IMAGES:
            raise ValueError(f'VerdictHook: images={images} must be at least {MIN_IMAGES}.')
        for name, value in dict(checks=checks, patience=patience).items():
            if value is not None and value < 1:
                raise ValueError(f'VerdictHook: {name}={value} must be at least 1, or None.')
        self.images, self.size, self.seed, self.backbone = images, size, seed, backbone
        self.checks, self.patience = checks, patience

    def before_train(self, runner: Runner) -> None:
        """Measure the start and keep it; a resumed run has its numbers in its checkpoint."""
        hub = runner.message_hub
        self.found: list[dict[str, Any]] = (hub.get_info(CHECKS, None) or []) if runner.iter else []
        self.last: tuple[int, Numbers | str] | None = None
        self.interval = None if self.checks is None else max(runner.max_iters // self.checks, 1)
        if runner.iter:
            self._stop_if_worse(runner)
            if runner.train_loop.stop_training:
                runner.logger.warning('--resume trains nothing, since the verdict stopped this training. To go on: '
                                      '--cfg-options default_hooks.verdict.patience=None')
            return
        hub.update_info(CHECKS, self.found)
        before = self._measure(runner) if is_main_process() else None
        if isinstance(before, str):
            runner.logger.warning(f'There will be no verdict on this training, and nothing ends it early: {before}')
        hub.update_info(BEFORE, before)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep the start; not before the first step, when it is certain that no other run uses the folder."""
        if self.interval is not None and runner.iter == 0:
            self._keep(runner, START, FIRST)
            self._take_start(runner)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Measure, keep what is best, and end a training that has become worse."""
        step = runner.iter + 1
        if self.interval is None or (step % self.interval and step != runner.max_iters):
            return
        said = [self._check(runner, step) if is_main_process() else None]
        broadcast_object_list(said)
        if said[0] is None:
            return
        self.found = [*self.found, said[0]]
        runner.message_hub.update_info(CHECKS, self.found)
        if best_step(self.found) == step:
            self._keep(runner, step)
        self._stop_if_worse(runner)

    def after_train(self, runner: Runner) -> None:
        """Measure the result and say what changed."""
        if not is_main_process():
            return
        before = runner.message_hub.get_info(BEFORE, None)
        if before is None:
            runner.logger.warning('There is no verdict on this training: what the features were before it is unknown, '
                                  'since the run began without VerdictHook.')
            return
        after = self.last[1] if self.last and self.last[0] == runner.iter else self._measure(runner)
        for found in (before, after):
            if isinstance(found, str):
                kept = '' if self.interval is None else (
                    f' {Path(runner.work_dir) / BEST} holds the weights from before it.')
                runner.logger.warning(f'There is no verdict on this training: {found}{kept}')
                return
        verdict = compare(before, after)
        if self.found:
            patience = self.patience or PATIENCE
            if kept_step(self.found, patience) != best_step(self.found):
                self._take_start(runner)
            words = course_words(self.found, runner.max_iters, patience, str(Path(runner.work_dir) / BEST))
            verdict['lines'] = [*words, *verdict['lines']]
            verdict['course'] = course_table(before, self.found)
        verdict['lines'].append(evidence())
        runner.message_hub.update_info(VERDICT, verdict)
        runner.logger.info('\n'.join([f'Is it better now? {verdict["text"]}', *verdict['lines']]))

    def _check(self, runner: Runner, step: int) -> dict[str, Any] | None:
        """The verdict on the weights as they are; None where there can be none."""
        before = runner.message_hub.get_info(BEFORE, None)
        if not isinstance(before, dict):
            return None
        after = self._measure(runner)
        if isinstance(after, str):
            return None
        self.last = step, after
        found = check(step, before, after)
        runner.logger.info(f'After step {step} of {runner.max_iters} the features are, compared with the start: '
                           f'{found["outcome"]}.')
        return found

    def _keep(self, runner: Runner, step: int, name: str = BEST) -> None:
        """Write the weights as they are."""
        make_saving_atomic(runner)
        runner.save_checkpoint(runner.work_dir, name, save_optimizer=False, save_param_scheduler=False, by_epoch=False,
                               meta=dict(iter=step))

    def _take_start(self, runner: Runner) -> None:
        """Let the file of the best weights hold those of the start."""
        first = Path(runner.work_dir) / FIRST
        if is_main_process() and not first.is_file():  # a run resumed in another folder
            runner.logger.warning(f'{first} is missing, so {BEST} cannot be made to hold the weights from before this '
                                  'training: take those that it began from.')
        elif is_main_process():
            with write_whole(first.with_name(BEST), flush=True) as temporary:
                shutil.copyfile(first, temporary)

    def _stop_if_worse(self, runner: Runner) -> None:
        if self.patience is not None and has_become_worse(self.found, self.patience):
            runner.train_loop.stop_training = True

    def _measure(self, runner: Runner) -> Numbers | str:
        """The numbers, a value per image and number; or why there are none."""
        model = unwrap(runner.model)
        backbone, dataset = getattr(model, self.backbone, None), runner.train_dataloader.dataset
        if not hasattr(backbone, 'forward_dense') or not hasattr(dataset, 'get_data_info'):
            return (f'it needs a model whose {self.backbone!r} gives dense features, and a data set of images; here '
                    f'are {type(model).__name__} and {type(dataset).__name__}.')
        start = time.perf_counter()
        with undisturbed(runner.model):
            backbone.eval()
            images = self._images(dataset, model.data_preprocessor)
            if len(images) < MIN_IMAGES:
                return f'{len(images)} images can be read, and at least {MIN_IMAGES} are needed.'
            colours = model.data_preprocessor
            seen = see_twice(backbone, images, colours.mean.float(), colours.std.float(), self._size(runner), self.seed)
            numbers = feature_numbers(seen, self.seed)
        runner.logger.info(f'Measured the features of {len(images)} images without labels, for the verdict, in '
                           f'{time.perf_counter() - start:.1f} s.')
        return {name: numbers[name].tolist() for name in VERDICT_NUMBERS}

    def _images(self, dataset: Any, colours: nn.Module) -> list:
        """Some images of the data set as the network's channels; those that cannot be read are left out."""
        load, found = LoadImage('rgb', bands=len(colours.mean)), []
        for index in sample_evenly(len(dataset), len(dataset), self.seed):
            try:
                found.append(load(dict(dataset.get_data_info(index)))['img'])
            except ImageReadError:
                continue
            if len(found) == self.images:
                break
        return found

    def _size(self, runner: Runner) -> int:
        if self.size is not None:
            return self.size
        crops = (runner.cfg or {}).get('crop_sizes') or (224, )
        return min(int(crops[0]), LARGEST)

