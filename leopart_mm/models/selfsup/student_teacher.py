"""A model with an EMA teacher: which parameters follow which, and what surrounds a step."""

from typing import Any

import torch
from torch import Tensor, nn

from leopart_mm.models.backbones.low_rank import plain_parameters


class Teacher(nn.Module):
    """The parts of a model that a teacher has, under the student's names; no gradient, always in evaluation mode."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.requires_grad_(False)
        super().train(False)

    def train(self, mode: bool = True) -> 'Teacher':
        """Stay in evaluation mode: no drop path."""
        return super().train(False)

    def init_weights(self) -> None:
        """Nothing: the student's weights are copied in afterwards."""


class StudentTeacher(nn.Module):
    """Mixin of models of which a copy of some parts follows the training as an exponential moving average.

    A subclass calls `add_teacher` at the end of its constructor; `SelfSupStepHook` moves the teacher at every step of
    the optimiser and calls `before_step` and `after_step` around each iteration, so that `loss` has no side effects.

    Attributes:
        teacher: The parts that follow, or None; its parameter `neck.x` follows the model's `neck.x`. It has no
            adapters: its weights follow what the student's weights and adapters make together.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.teacher: Teacher | None = None

    def add_teacher(self, **parts: nn.Module) -> None:
        """Let modules with the names and parameters of parts of this model follow these parts.

        Checkpoints without a teacher then give the student's weights to the teacher too.
        """
        self.teacher = Teacher(**parts)
        self._register_load_state_dict_pre_hook(StudentTeacher._complete_teacher, with_module=True)

    @torch.no_grad()
    def reset_teacher(self) -> None:
        """Copy the student into the teacher."""
        for teacher, student in zip(*self.teacher_student_pairs(), strict=True):
            teacher.copy_(student)

    @torch.no_grad()
    def teacher_student_pairs(self) -> tuple[list[nn.Parameter], list[Tensor]]:
        """Parameters of the teacher and what they follow: those of the student, adapted weights as they are now."""
        if self.teacher is None:
            return [], []
        student = plain_parameters(self)
        named = dict(self.teacher.named_parameters())
        return list(named.values()), [student[name] for name in named]

    def before_step(self) -> None:
        """Put the parameters where they must be before a forward pass; called before every iteration."""

    def after_step(self) -> None:
        """What a step changes beside the parameters; called after every iteration."""

    def _complete_teacher(self, state_dict: dict, prefix: str, *args) -> None:
        if any(key.startswith(f'{prefix}teacher.') for key in state_dict):
            return
        for name, part in self.teacher.named_children():
            start, taken = f'{prefix}{name}.', part.state_dict()
            for key in [key for key in state_dict if key.startswith(start)]:
                # A backbone converts foreign keys when it loads them, so its own need not be among those of the file.
                if name == 'backbone' or key[len(start):] in taken:
                    state_dict[f'{prefix}teacher.{key[len(prefix):]}'] = state_dict[key].clone()
