"""What a self-supervised loss over crop pairs must have: the contract of `CropPairModel`."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mmengine.model import BaseModule
from torch import Tensor, nn

from leopart_mm.geometry.crop_pairs import CropPairs


@dataclass
class TeacherOutput:
    """The teacher's view of the T global crops.

    Attributes:
        embeddings: (T, B, h·w, C), the neck's output; unit vectors for a normalising neck.
        grid: (h, w).
        attention: (T, B, h·w) class-token attention of the last block averaged over heads, or None.
        head: The teacher's copy of the loss's `teacher_part`; None if there is no teacher.
    """

    embeddings: Tensor
    grid: tuple[int, int]
    attention: Tensor | None = None
    head: nn.Module | None = field(default=None, repr=False)


class Targets(Protocol):
    """What the student of one batch is compared with.

    Attributes:
        weights: (P, B, k·k) share of each cell in the loss, 0 where a cell does not count.
        health: Numbers for the log that are known before the student has run; scalars without gradient.
    """

    weights: Tensor
    health: Mapping[str, Tensor]

    def images(self, start: int, stop: int) -> 'Targets':
        """The targets of the images start..stop-1."""


class SelfSupLoss(BaseModule):
    """Base of the losses of `CropPairModel`, which compare student and teacher cell by cell on aligned crop pairs.

    A loss owns whatever it learns or remembers (prototypes, queues). Targets and loss are two calls, because targets
    may need the whole batch while the student may be computed in parts (`micro_batches`). Both must leave the module as
    it is: what a step changes beside the parameters is staged in `targets` and takes effect in `after_step`.

    Subclasses set `kernel`, implement `targets` and `forward`, and override the rest where they need to
    (docs/extending.md).

    Attributes:
        kernel: k; every overlap of a crop pair becomes k x k cells.
        health_limits: The thresholds of `health_findings` by name; arguments of `HealthHook` override them.
        health_notes: What the numbers of the log mean, by name, for the page of a training.
    """

    kernel: int
    health_limits: Mapping[str, float] = {}
    health_notes: Mapping[str, str] = {}

    def __init__(self, init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self._register_load_state_dict_pre_hook(_without_loss_module)

    @property
    def needs_attention(self) -> bool:
        """Whether `targets` needs the teacher's attention."""
        return False

    @property
    def learns_through_targets(self) -> bool:
        """Whether targets have a gradient if the embeddings in the TeacherOutput have one."""
        return False

    def teacher_part(self) -> nn.Module:
        """A fresh module with the teacher's copy of what the loss learns; its parameters have the names they have here.

        It comes back in `TeacherOutput.head`.
        """
        return nn.ModuleDict()

    @abstractmethod
    def targets(self, teacher: TeacherOutput, pairs: CropPairs) -> Targets:
        """What the student of the batch is compared with."""

    @abstractmethod
    def forward(self, embeddings: Tensor, targets: Targets) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of (a part of) the images.

        Args:
            embeddings: (P, B, k·k, C) aligned student embeddings.
            targets: Those of the same images.

        Returns:
            The loss, a scalar, and numbers for the log, scalars without gradient. All of them are sums weighted by
            `targets.weights`, so that they add up over parts of the batch.
        """

    def normalize_(self) -> None:
        """Put the parameters where they must be before a forward pass; called before every iteration."""

    def after_step(self) -> None:
        """Make what this step has staged take effect; called after every iteration, outside the compiled step."""

    def health_findings(self,
                        means: Mapping[str, float],
                        settled: bool = True,
                        limits: Mapping[str, float] | None = None) -> list[str]:
        """What is wrong with the training, in words, with the likely causes; empty if nothing is.

        Args:
            means: The numbers of the log, averaged over a window of iterations.
            settled: Whether the student has had time to learn; before, only the teacher's numbers are judged.
            limits: Thresholds that replace those of `health_limits`.
        """
        return []


def _without_loss_module(state_dict: dict, prefix: str, *args) -> None:
    """Checkpoints from the time when a head held the loss: `loss_module.queue.rows` is `queue.rows` now."""
    old = f'{prefix}loss_module.'
    for key in [key for key in state_dict if key.startswith(old)]:
        state_dict[prefix + key[len(old):]] = state_dict.pop(key)
