"""Tells a user without labels whether self-supervised training is healthy."""

import math
from collections import deque
from collections.abc import Mapping

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from leopart_mm.devices import on_cpu
from leopart_mm.engine.late_scalars import on_host
from leopart_mm.engine.wrapping import unwrap
from leopart_mm.registry import HOOKS


class DivergenceError(RuntimeError):
    """The loss is NaN or infinite."""


@HOOKS.register_module()
class HealthHook(Hook):
    """Stops at a NaN loss, and prints what the model's `health_findings` says about the averaged numbers of the log.

    A model without `health_findings` is only watched for NaN.

    Args:
        window: Number of iterations over which the logged numbers are averaged, and between two warnings. Defaults to
            100.
        patience: Number of windows before the student is judged; at the start it knows nothing. Defaults to 5.
        skipped_steps: Number of successive NaN losses to bear under dynamic loss scaling, which skips such steps.
            Defaults to 5.
        gpu_interval: Number of iterations after which losses on a GPU are looked at, all of them at once, since each
            look waits for it; also before a checkpoint is saved. On a CPU every loss is. Defaults to 20.
        **limits: Thresholds that replace those of the loss, by its names (`SelfSupLoss.health_limits`). For Leopart
            min_usage=0.2 and max_ce_over_log_k=0.98, for NeCo max_target_entropy=0.98 and min_rank_agreement=0.1, for
            PaKA min_teacher_spread=1e-3 and min_kernel_alignment=0.1.

    Raises:
        DivergenceError: If the loss is NaN or infinite, with the likely cause and the fix.
    """

    priority = 'VERY_LOW'

    def __init__(self, window: int = 100, patience: int = 5, skipped_steps: int = 5, gpu_interval: int = 20,
                 **limits: float) -> None:
        self.window, self.patience, self.skipped_steps, self.limits = window, patience, skipped_steps, limits
        self.gpu_interval = gpu_interval
        self.history: dict[str, deque] = {}
        self.pending: list[tuple[int, Tensor]] = []  # iterations whose loss was not looked at yet
        self.bad_losses = self.count = 0

    def before_train(self, runner: Runner) -> None:
        """Say which thresholds the model does not have; a mistyped argument is among them."""
        model = unwrap(runner.model)
        unknown = sorted(set(self.limits) - set(getattr(model, 'health_limits', {})))
        if unknown:
            runner.logger.warning(f'HealthHook: {type(model).__name__} has no threshold {", ".join(unknown)}; it has '
                                  f'{", ".join(getattr(model, "health_limits", {})) or "none"}')

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: dict | None = None,
                         outputs: Mapping | None = None) -> None:
        """Check this iteration's numbers."""
        outputs = outputs or {}
        if 'loss' not in outputs:
            return
        self.pending.append((runner.iter + 1, outputs['loss'].detach()))
        if on_cpu(outputs['loss']) or len(self.pending) >= self.gpu_interval:
            self._check_losses(runner)
        for name, value in outputs.items():
            if name != 'loss':
                self.history.setdefault(name, deque(maxlen=self.window)).append(value)
        self.count += 1
        if self.count % self.window == 0:
            self._report(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """A checkpoint behind a NaN is never saved."""
        self._check_losses(runner)

    def after_train(self, runner: Runner) -> None:
        """Look at the last losses."""
        self._check_losses(runner)

    def _check_losses(self, runner: Runner) -> None:
        pending, self.pending = self.pending, []
        values = on_host(loss for _, loss in pending)
        for (iteration, _), value in zip(pending, values, strict=True):
            self._check_finite(runner, value, iteration)

    def _report(self, runner: Runner) -> None:
        model = unwrap(runner.model)
        if not hasattr(model, 'health_findings'):
            return
        means = {name: sum(on_host(values)) / len(values) for name, values in self.history.items()}
        settled = self.count >= self.patience * self.window
        found = model.health_findings(means, settled, self.limits)
        runner.message_hub.update_info('health_findings', dict(step=runner.iter + 1, messages=found))  # for the page
        for message in found:
            runner.logger.warning(f'iteration {runner.iter + 1}: {message}')

    def _check_finite(self, runner: Runner, loss: float, iteration: int) -> None:
        if math.isfinite(loss):
            self.bad_losses = 0
            return
        self.bad_losses += 1
        wrapper = runner.optim_wrapper
        if hasattr(wrapper, 'loss_scaler') and self.bad_losses <= self.skipped_steps:
            return
        precision = str(getattr(wrapper, 'cast_dtype', None) or
                        ('float16' if hasattr(wrapper, 'loss_scaler') else 'float32'))
        rates = sorted({group['lr'] for group in wrapper.optimizer.param_groups})
        broken = [name for name, value in runner.model.named_parameters() if not torch.isfinite(value).all()]
        if broken:
            cause = (f'{len(broken)} parameters are not finite (first: {broken[0]}), so an earlier step broke them: '
                     'lower the learning rate (optim_wrapper.optimizer.lr, paramwise_cfg.head_lr) or clip gradients '
                     '(optim_wrapper.clip_grad=dict(max_norm=3.0))')
        elif 'float16' in precision and 'bfloat16' not in precision:
            cause = ('all parameters are finite, so an activation overflowed float16: use '
                     "optim_wrapper.dtype='bfloat16', or train without --amp")
        else:
            cause = ('all parameters are finite, so look at the input: an image with NaN, or a std of 0 in the data '
                     'preprocessor')
        raise DivergenceError(f'The loss is {loss} at iteration {iteration} (learning rates '
                               f'{", ".join(f"{rate:.3g}" for rate in rates)}; precision {precision}): {cause}. '
                               'Continue from the last checkpoint with --resume after the change.')
