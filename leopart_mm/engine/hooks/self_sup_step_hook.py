"""EMA update and per-step bookkeeping of a model with a student and a teacher."""

import math

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from leopart_mm.engine.wrapping import unwrap
from leopart_mm.registry import HOOKS


@HOOKS.register_module(name=['SelfSupStepHook', 'EMATeacherHook'])
class SelfSupStepHook(Hook):
    """Teacher <- m teacher + (1 - m) student at every step of the optimiser, m on a cosine over training.

    The update is attached to the optimiser itself. So under gradient accumulation it runs once per step, and a step
    that mixed precision skips moves nothing. The hook also calls the model's `before_step` and `after_step` around
    every iteration, so that the model's loss has no side effects; see `StudentTeacher`. Its former name is
    `EMATeacherHook`.

    Args:
        momentum: m at the start, in [0, 1]. Defaults to 0.9995.
        end_momentum: m at the end, in [0, 1]. Defaults to 1.0.
        before_optimizer: Whether the update takes the weights before the optimiser's step, as published, so that the
            teacher lags one step. Defaults to False.

    Raises:
        ValueError: If a momentum is outside [0, 1].
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
            raise TypeError('SelfSupStepHook needs a single optimiser, but optim_wrapper is a '
                            f'{type(runner.optim_wrapper).__name__}')
        self.attach(unwrap(runner.model), runner.optim_wrapper.optimizer)

    def attach(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Let every step of `optimizer` move the teacher of `model` by `self.momentum`."""
        @torch.compiler.disable
        @torch.no_grad()
        def update(optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> None:
            teacher, student = model.teacher_student_pairs()  # adapted weights are new after every step
            if teacher:
                follow(teacher, student, 1 - self.momentum, getattr(optimizer, 'found_inf', None))

        if self.before_optimizer:
            optimizer.register_step_pre_hook(update)
        else:
            optimizer.register_step_post_hook(update)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Set this iteration's momentum and let the model prepare its parameters."""
        self.momentum = cosine_value(self.start_momentum, self.end_momentum, runner.iter, runner.max_iters)
        unwrap(runner.model).before_step()

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Let the model finish the iteration."""
        unwrap(runner.model).after_step()


def follow(teacher: list[Tensor], student: list[Tensor], weight: float, found_inf: Tensor | None = None) -> None:
    """Move tensors towards others by a share of their distance, in place.

    Args:
        teacher: Those that move.
        student: Where they move to.
        weight: The share.
        found_inf: A number that is not 0 if nothing is to move; it is not read on the host. A fused optimiser has it
            under loss scaling, and is called for a skipped step too.
    """
    if found_inf is None:
        torch._foreach_lerp_(teacher, student, weight)
        return
    steps = torch._foreach_sub(student, teacher)
    torch._foreach_mul_(steps, torch.where(found_inf.reshape(()) == 0, weight, 0.))
    torch._foreach_add_(teacher, steps)


EMATeacherHook = SelfSupStepHook  # its name in configs and code written before


def cosine_value(start: float, end: float, step: int, total: int) -> float:
    """Half a cosine from `start` at step 0 towards `end` at step `total`, and `end` from then on (Leopart, suppl.).

    >>> [cosine_value(1., 3., step, 10) for step in (0, 5, 10, 11)]
    [1.0, 2.0, 3.0, 3.0]
    """
    if step >= total:
        return end
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * step / total))
