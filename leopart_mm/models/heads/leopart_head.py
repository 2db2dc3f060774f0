"""The head of Leopart: prototypes and loss."""

import torch
from torch import Tensor, nn

from leopart_mm.geometry.crop_pairs import CropPairs
from leopart_mm.models.heads.base import DenseLossHead
from leopart_mm.models.losses.leopart_loss import LeopartTargets
from leopart_mm.models.losses.prototypes import Prototypes
from leopart_mm.registry import MODELS


@MODELS.register_module()
class LeopartHead(DenseLossHead):
    """Prototypes and the loss between teacher assignments and student predictions (docs/methods/leopart.md §3).

    Args:
        embed_dims (int): Width C of the embeddings, the neck's output.
        num_prototypes (int): K. Defaults to 300.
        loss (dict): Config of the loss. Defaults to dict(type='leopart_mm.LeopartLoss').
    """

    def __init__(self,
                 embed_dims: int = 256,
                 num_prototypes: int = 300,
                 loss: dict | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(loss or dict(type='leopart_mm.LeopartLoss'), init_cfg)
        self.prototypes = Prototypes(embed_dims, num_prototypes)

    def teacher_part(self) -> nn.Module:
        """A fresh module with what the teacher has of this head: its own prototypes."""
        num_prototypes, embed_dims = self.prototypes.weight.shape
        return nn.ModuleDict(dict(prototypes=Prototypes(embed_dims, num_prototypes)))

    def normalize_(self) -> None:
        """Scale the prototypes to unit length; a hook calls it before every step."""
        self.prototypes.normalize_()

    def after_step(self) -> None:
        """What follows a step and must stay out of the (compiled) loss: this step's embeddings enter the queue."""
        if self.loss_module.queue is not None:
            self.loss_module.queue.push_staged()

    @torch.no_grad()
    def targets(self, teacher: nn.Module | None, embeddings: Tensor, pairs: CropPairs, grid: tuple[int, int],
                attention: Tensor | None) -> LeopartTargets:
        """What the student has to predict; `teacher` is a `teacher_part`, or None to take the own prototypes."""
        own = self.prototypes.weight
        prototypes = own if teacher is None else teacher['prototypes'].weight
        return self.loss_module.targets(embeddings, prototypes, own, pairs, grid, attention)

    def loss(self, embeddings: Tensor, targets: LeopartTargets) -> tuple[Tensor, Tensor]:
        """Loss and agreement of aligned student embeddings (P, B, k·k, C); both add up over parts of the batch."""
        return self.loss_module(embeddings, self.prototypes.weight, targets)
