"""The head of NeCo: nothing but the loss."""

from torch import Tensor, nn

from leopart_mm.geometry.crop_pairs import CropPairs
from leopart_mm.models.heads.base import DenseLossHead
from leopart_mm.models.losses.neco_loss import NeCoTargets
from leopart_mm.registry import MODELS


@MODELS.register_module()
class NeCoHead(DenseLossHead):
    """Holds the loss between the orders of student and teacher (docs/methods/neco.md §3); it has no parameters.

    Args:
        loss (dict): Config of the loss. Defaults to dict(type='leopart_mm.NeCoLoss').
    """

    def __init__(self, loss: dict | None = None, init_cfg: dict | list | None = None) -> None:
        super().__init__(loss or dict(type='leopart_mm.NeCoLoss'), init_cfg)

    @property
    def learns_through_references(self) -> bool:
        """Whether references carry a gradient if the teacher's embeddings do."""
        return self.loss_module.queue is None

    def teacher_part(self) -> nn.Module:
        """A fresh module with what the teacher has of this head: nothing."""
        return nn.ModuleDict()

    def normalize_(self) -> None:
        """Nothing: there are no prototypes."""

    def after_step(self) -> None:
        """What follows a step and must stay out of the (compiled) loss: this step becomes the past of the queue."""
        self.loss_module.after_step()

    def targets(self, embeddings: Tensor, pairs: CropPairs, grid: tuple[int, int],
                attention: Tensor | None) -> NeCoTargets:
        """What the student is compared with."""
        return self.loss_module.targets(embeddings, pairs, grid, attention)

    def loss(self, embeddings: Tensor, targets: NeCoTargets) -> tuple[Tensor, Tensor]:
        """Losses of the pairs and health of aligned student embeddings (P, B, k·k, C); see `NeCoLoss`."""
        return self.loss_module(embeddings, targets)
