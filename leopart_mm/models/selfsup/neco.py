"""NeCo: the student orders patches by similarity as an EMA teacher does."""

import torch
from torch import Tensor, nn

from leopart_mm.models.selfsup.base import DenseSelfSupervisor
from leopart_mm.registry import MODELS


@MODELS.register_module()
class NeCo(DenseSelfSupervisor):
    """`Near, far: Patch-ordering enhances vision foundation models' scene understanding
    <https://arxiv.org/abs/2408.11054>`_ (NeCo).

    Arguments are those of `DenseSelfSupervisor`; `head` is a NeCoHead.

    Raises:
        ValueError: With use_teacher=False, references from the batch and micro_batches > 1: then every part would need
            the gradients of the others.
    """

    def __init__(self,
                 backbone: dict,
                 neck: dict,
                 head: dict,
                 use_teacher: bool = True,
                 teacher_init: str = 'copy',
                 micro_batches: int = 1,
                 data_preprocessor: dict | nn.Module | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(backbone, neck, head, use_teacher, teacher_init, micro_batches, data_preprocessor, init_cfg)
        self.learns_through_references = not use_teacher and self.head.learns_through_references
        if self.learns_through_references and micro_batches > 1:
            raise ValueError(f'micro_batches={micro_batches} does not go with use_teacher=False and references from '
                             'the batch, which carry gradients between the parts: set micro_batches=1, or a queue in '
                             'the loss')

    def loss(self, inputs: dict, data_samples: list | None = None) -> dict[str, Tensor]:
        """The loss of a batch, and numbers that say without labels whether training is healthy.

        Returns:
            `loss`, and without gradient: `divergence` >= 0, what the student could still gain (the loss less the
            entropy of the teacher's order); `target_entropy`, 0..1 (1 = the teacher cannot tell references apart);
            `rank_agreement`, -1..1, correlation of the ranks that teacher and student give the references;
            `similarity_spread`, standard deviation of a patch's similarities to the references (near 0 = collapse).
        """
        crops, pairs = inputs['crops'], self.crop_pairs(inputs)
        if self.learns_through_references:
            losses, health = self._loss_without_teacher(crops, pairs)
        else:
            losses, health = self._loss_with_targets(crops, pairs)
        loss = losses.sum()
        entropy, agreement, spread = health
        return dict(
            loss=loss,
            divergence=loss.detach() - entropy * self.head.loss_module.most_entropy,
            target_entropy=entropy,
            rank_agreement=agreement,
            similarity_spread=spread)

    def _loss_with_targets(self, crops, pairs) -> tuple[Tensor, Tensor]:
        teacher = self.teacher_output(crops[:pairs.num_global], self.head.needs_attention)
        targets = self.head.targets(teacher.embeddings, pairs, teacher.grid, teacher.attention)
        return self.student_losses(crops, pairs, targets)

    def _loss_without_teacher(self, crops, pairs) -> tuple[Tensor, Tensor]:
        """One pass of the student gives queries, references with their gradient, and what is compared with them."""
        maps, grids = self.student_maps(crops)
        attention = None
        if self.head.needs_attention:
            attention = self.teacher_output(crops[:pairs.num_global], attention=True).attention
        targets = self.head.targets(torch.stack(maps[:pairs.num_global]), pairs, grids[0], attention)
        matrices = [pairs.student_matrix(v, grid) for v, grid in enumerate(grids)]
        return self.head.loss(pairs.align_student(maps, matrices), targets)
