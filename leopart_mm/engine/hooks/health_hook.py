"""Tells a user without labels whether self-supervised training is healthy."""

import math
from collections import deque
from collections.abc import Mapping

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from leopart_mm.registry import HOOKS


class DivergenceError(RuntimeError):
    """The loss is NaN or infinite."""


@HOOKS.register_module()
class HealthHook(Hook):
    """Stops at a NaN loss and warns of collapse, with the likely cause and the fix.

    Args:
        window: Iterations over which the logged numbers are averaged, and between two warnings. Default: 100.
        min_usage: Warn if `prototype_usage` is below this. Default: 0.2.
        max_ce_over_log_k: Warn if the loss stays above this share of log K, i.e. the student predicts nothing. Default:
            0.98.
        max_target_entropy: Warn if NeCo's `target_entropy` is above this: the teacher cannot tell references apart.
            Default: 0.98.
        min_rank_agreement: Warn if NeCo's `rank_agreement` stays below this: the student does not follow. Default: 0.1.
        patience: Windows before the student counts; at the start it knows nothing. Default: 5.
        skipped_steps: NaN losses in a row to bear under dynamic loss scaling, which skips such steps. Default: 5.
    """

    priority = 'VERY_LOW'

    def __init__(self,
                 window: int = 100,
                 min_usage: float = 0.2,
                 max_ce_over_log_k: float = 0.98,
                 max_target_entropy: float = 0.98,
                 min_rank_agreement: float = 0.1,
                 patience: int = 5,
                 skipped_steps: int = 5) -> None:
        self.window, self.min_usage, self.max_ce_over_log_k = window, min_usage, max_ce_over_log_k
        self.max_target_entropy, self.min_rank_agreement = max_target_entropy, min_rank_agreement
        self.patience, self.skipped_steps = patience, skipped_steps
        self.history: dict[str, deque] = {}
        self.windows = self.bad_losses = self.count = 0

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: dict | None = None,
                         outputs: Mapping | None = None) -> None:
        """Check this iteration's numbers."""
        outputs = outputs or {}
        if 'loss' not in outputs:
            return
        self._check_finite(runner, outputs['loss'].item())
        for name in ('ce_over_log_k', 'prototype_usage', 'target_entropy', 'rank_agreement'):
            if name in outputs:
                self.history.setdefault(name, deque(maxlen=self.window)).append(float(outputs[name]))
        self.count += 1
        if self.count % self.window == 0:
            self.windows += 1
            for message in self.findings():
                runner.logger.warning(f'iteration {runner.iter + 1}: {message}')

    def _check_finite(self, runner: Runner, loss: float) -> None:
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
        broken = [name for name, one in runner.model.named_parameters() if not torch.isfinite(one).all()]
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
        raise DivergenceError(f'The loss is {loss} at iteration {runner.iter + 1} (learning rates '
                               f'{", ".join(f"{rate:.3g}" for rate in rates)}; precision {precision}): {cause}. '
                               'Continue from the last checkpoint with --resume after the change.')

    def findings(self) -> list[str]:
        """What is wrong, over the last window, in words."""
        mean = {name: sum(values) / len(values) for name, values in self.history.items()}
        found = []
        usage = mean.get('prototype_usage', 1.)
        if usage < self.min_usage:
            found.append(
                f'prototype_usage is {usage:.2f} (1 = all prototypes are used alike): the embeddings collapse to a few '
                'prototypes. Likely causes: learning rate of the head too high, teacher momentum too low, epsilon of '
                'Sinkhorn too high, or more prototypes than the images can fill')
        cross_entropy = mean.get('ce_over_log_k', 0.)
        if self.windows >= self.patience and cross_entropy > self.max_ce_over_log_k:
            found.append(
                f'the loss is still {cross_entropy:.2f} log K after {self.windows * self.window} iterations, which is '
                'what a student that predicts nothing pays. Likely causes: backbone without pretrained weights '
                '(see the load report at the start), learning rate too low, or crops that do not overlap')
        return found + self._findings_of_orders(mean)

    def _findings_of_orders(self, mean: dict[str, float]) -> list[str]:
        """What is wrong with the order that NeCo learns."""
        found = []
        entropy = mean.get('target_entropy', 0.)
        if entropy > self.max_target_entropy:
            found.append(
                f'target_entropy is {entropy:.3f} (1 = the teacher cannot tell references apart): all patches become '
                'alike. Likely causes: learning rate of the head too high, teacher momentum too low, or a '
                'teacher_steepness too low for the similarities')
        agreement = mean.get('rank_agreement', 1.)
        if self.windows >= self.patience and agreement < self.min_rank_agreement:
            found.append(
                f'rank_agreement is still {agreement:.2f} (1 = the student orders references as the teacher does) '
                f'after {self.windows * self.window} iterations. Likely causes: backbone without pretrained weights '
                '(see the load report at the start), learning rate too low, crops that do not overlap, or a mask that '
                'leaves no cell')
        return found
