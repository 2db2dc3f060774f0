"""Leopart: dense clustering with an EMA teacher."""

import math

from torch import Tensor

from leopart_mm.models.selfsup.base import DenseSelfSupervisor
from leopart_mm.registry import MODELS


@MODELS.register_module()
class Leopart(DenseSelfSupervisor):
    """`Self-Supervised Learning of Object Parts for Semantic Segmentation <https://arxiv.org/abs/2204.13101>`_.

    Arguments are those of `DenseSelfSupervisor`; `head` is a LeopartHead.
    """

    def loss(self, inputs: dict, data_samples: list | None = None) -> dict[str, Tensor]:
        """The loss of a batch, and numbers that say without labels whether training is healthy.

        Returns:
            `loss`, and without gradient: `ce_over_log_k`, the loss in units of log K (1 = the student knows nothing);
            `prototype_usage`, 0..1, entropy of the teacher's nearest prototypes (near 0 = collapse); `agreement`, share
            of cells where student and teacher choose the same prototype.
        """
        crops, pairs = inputs['crops'], self.crop_pairs(inputs)
        teacher = self.teacher_output(crops[:pairs.num_global], self.head.needs_attention)
        targets = self.head.targets(None if self.teacher is None else self.teacher.head, teacher.embeddings, pairs,
                                    teacher.grid, teacher.attention)
        loss, agreement = self.student_losses(crops, pairs, targets)
        return dict(
            loss=loss,
            ce_over_log_k=loss.detach() / math.log(targets.assignments.shape[-1]),
            prototype_usage=targets.usage,
            agreement=agreement)
