"""NeCo: the student orders patches by similarity as an EMA teacher does."""

from typing import Any

import torch
from torch import Tensor

from leopart_mm.models.losses.base import TeacherOutput
from leopart_mm.models.selfsup.crop_pair_model import CropPairModel
from leopart_mm.registry import MODELS


@MODELS.register_module()
class NeCo(CropPairModel):
    """`Near, far: Patch-ordering enhances vision foundation models' scene understanding
    <https://arxiv.org/abs/2408.11054>`_ (NeCo).

    Arguments are those of `CropPairModel`; `head` is a NeCoLoss, which says what is logged.

    Raises:
        ValueError: If use_teacher=False is combined with references from the batch and micro_batches > 1: every part
            would then need the gradients of all parts.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.learns_through_references = self.teacher is None and self.head.learns_through_targets
        if self.learns_through_references and self.micro_batches > 1:
            raise ValueError(f'micro_batches={self.micro_batches} is impossible with use_teacher=False and references '
                             'from the batch, which carry gradients between the parts: set micro_batches=1, or a queue '
                             'in the loss')

    def loss(self, inputs: dict, data_samples: list | None = None) -> dict[str, Tensor]:
        """As `CropPairModel.loss`; without teacher and queue the references learn too.

        Then one pass of the student gives queries, references with their gradient, and what is compared with them.
        """
        if not self.learns_through_references:
            return super().loss(inputs, data_samples)
        crops, pairs = inputs['crops'], self.crop_pairs(inputs)
        maps, grids = self.student_maps(crops)
        attention = None
        if self.head.needs_attention:
            attention = self.teacher_output(crops[:pairs.num_global], attention=True).attention
        targets = self.head.targets(TeacherOutput(torch.stack(maps[:pairs.num_global]), grids[0], attention), pairs)
        matrices = [pairs.student_matrix(v, grid) for v, grid in enumerate(grids)]
        loss, health = self.head(pairs.align_student(maps, matrices), targets)
        return dict(loss=loss, **targets.health, **health)
