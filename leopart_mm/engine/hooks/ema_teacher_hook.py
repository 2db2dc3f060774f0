"""Moves the EMA teacher and does what else surrounds a step of a dense self-supervised model."""

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from leopart_mm.engine.schedules import cosine_value
from leopart_mm.registry import HOOKS


@HOOKS.register_module()
class EMATeacherHook(Hook):
    """Teacher <- m teacher + (1 - m) student at every step of the optimiser, m on a cosine over training.

    The update hangs on the optimiser itself. So under gradient accumulation it runs once a step, and a step that mixed
    precision skips moves nothing. The hook also normalises the prototypes before every iteration and lets the model
    finish the iteration (`after_step`), so that the model's loss has no side effects.

    Args:
        momentum: m at the start. Default: 0.9995.
        end_momentum: m at the end. Default: 1.0.
        before_optimizer: Update from the weights before the optimiser's step, as published, so that the teacher lags
            one step. Default: False.
    """

    def __init__(self, momentum: float = 0.9995, end_momentum: float = 1.0, before_optimizer: bool = False) -> None:
        for name, value in (('momentum', momentum), ('end_momentum', end_momentum)):
            if not 0 <= value <= 1:
                raise ValueError(f'{name}={value} must lie in [0, 1]')
        self.start_momentum, self.end_momentum = momentum, end_momentum
        self.before_optimizer = before_optimizer
        self.momentum = momentum

    def before_train(self, runner: Runner) -> None:
        """Attach the update to the optimiser."""
        if not isinstance(runner.optim_wrapper, OptimWrapper):
            raise TypeError('EMATeacherHook needs a single optimiser, but optim_wrapper is a '
                            f'{type(runner.optim_wrapper).__name__}')
        self.attach(_unwrapped(runner.model), runner.optim_wrapper.optimizer)

    def attach(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Let every step of `optimizer` move the teacher of `model` by `self.momentum`."""
        teacher, student = model.teacher_student_pairs()

        @torch.compiler.disable
        @torch.no_grad()
        def update(optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> None:
            found_inf = getattr(optimizer, 'found_inf', None)  # a fused optimiser is called for a skipped step too
            if teacher and (found_inf is None or not found_inf.item()):
                torch._foreach_lerp_(teacher, student, 1 - self.momentum)

        if self.before_optimizer:
            optimizer.register_step_pre_hook(update)
        else:
            optimizer.register_step_post_hook(update)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Set this iteration's momentum and normalise the prototypes."""
        self.momentum = cosine_value(self.start_momentum, self.end_momentum, runner.iter, runner.max_iters)
        _unwrapped(runner.model).before_step()

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Let the model finish the iteration."""
        _unwrapped(runner.model).after_step()


def _unwrapped(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model
