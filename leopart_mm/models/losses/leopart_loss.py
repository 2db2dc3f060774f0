"""The loss of Leopart: the student predicts, at every cell two crops share, the teacher's cluster assignment."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from leopart_mm.geometry.crop_pairs import CropPairs
from leopart_mm.models.losses.cell_shares import MASK_THRESHOLD, MASKS, aligned_mask, attention_mask, cell_weights
from leopart_mm.models.losses.embedding_queue import EmbeddingQueue
from leopart_mm.models.losses.sinkhorn import sinkhorn
from leopart_mm.registry import MODELS


@dataclass
class LeopartTargets:
    """What the student of one batch has to predict; nothing has a gradient.

    Attributes:
        assignments: (P, B, k·k, K) aligned soft assignments.
        weights: (P, B, k·k) share of each cell in the loss; they sum to 1 over all processes' mean.
        usage: entropy of the teacher's nearest prototypes in units of log min(K, tokens), 0 (one is used) to 1.
    """

    assignments: Tensor
    weights: Tensor
    usage: Tensor

    def images(self, start: int, stop: int) -> 'LeopartTargets':
        """The targets of the images start..stop-1."""
        return LeopartTargets(self.assignments[:, start:stop], self.weights[:, start:stop], self.usage)


@MODELS.register_module()
class LeopartLoss(BaseModule):
    """Cross-entropy between aligned teacher assignments and student predictions over all crop pairs.

    `Self-Supervised Learning of Object Parts for Semantic Segmentation <https://arxiv.org/abs/2204.13101>`_;
    docs/methods/leopart.md §4.
    Targets and loss are two calls, because Sinkhorn needs the whole batch and the rest does not.

    Args:
        epsilon (float): Temperature of Sinkhorn-Knopp. Defaults to 0.05.
        iterations (int): Rounds of Sinkhorn-Knopp. Defaults to 3.
        temperature (float): Temperature of the student's softmax. Defaults to 0.1.
        kernel (int): Cells a side of an aligned overlap. Defaults to 7.
        mask (str): Cells that count: 'all', 'fg' or 'bg' by the teacher's attention. Defaults to 'all'.
        mask_cfg (dict, optional): Arguments of `attention_foreground`. Defaults to None.
        mask_threshold (float): A cell counts if its aligned mask reaches this. 1.0 is published, and loses fully
            covered cells to rounding. Defaults to 1 - 1e-4.
        queue (dict, optional): Arguments of `EmbeddingQueue` (`length`, `embed_dims`, ...). Defaults to None.
        queue_prototypes (str): Whose prototypes score the queue: 'teacher', or 'student' as published. Defaults to
            'teacher'.
        distributed (bool): Treat the batches of all processes as one. Defaults to True.
    """

    def __init__(self,
                 epsilon: float = 0.05,
                 iterations: int = 3,
                 temperature: float = 0.1,
                 kernel: int = 7,
                 mask: str = 'all',
                 mask_cfg: dict | None = None,
                 mask_threshold: float = MASK_THRESHOLD,
                 queue: dict | None = None,
                 queue_prototypes: str = 'teacher',
                 distributed: bool = True,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if mask not in MASKS:
            raise ValueError(f'mask={mask!r} is unknown; choose one of {MASKS}')
        if queue_prototypes not in ('teacher', 'student'):
            raise ValueError(f"queue_prototypes={queue_prototypes!r} is unknown; choose 'teacher' or 'student'")
        if temperature <= 0 or epsilon <= 0:
            raise ValueError(f'temperature={temperature} and epsilon={epsilon} must be positive')
        self.epsilon, self.iterations, self.temperature, self.kernel = epsilon, iterations, temperature, kernel
        self.mask, self.mask_cfg, self.mask_threshold = mask, mask_cfg or {}, mask_threshold
        self.queue_prototypes, self.distributed = queue_prototypes, distributed
        self.queue = EmbeddingQueue(**queue) if queue else None

    @property
    def needs_attention(self) -> bool:
        """Whether the targets need the teacher's attention."""
        return self.mask != 'all'

    @torch.no_grad()
    def targets(self,
                embeddings: Tensor,
                teacher_prototypes: Tensor,
                student_prototypes: Tensor,
                pairs: CropPairs,
                grid: tuple[int, int],
                attention: Tensor | None = None) -> LeopartTargets:
        """Assignments and weights of all pairs.

        Args:
            embeddings: (T, B, h·w, C) unit vectors of the teacher.
            teacher_prototypes: (K, C).
            student_prototypes: (K, C), used for the queue with queue_prototypes='student'.
            pairs: the crop pairs of the batch.
            grid: (h, w) of a global crop.
            attention: (T, B, h·w) class-token attention averaged over heads, if masks are in use.

        Raises:
            ValueError: if masks are in use and there is no attention.
        """
        batch, tokens = embeddings.shape[1:3]
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = embeddings.float()
            scores = F.linear(embeddings, teacher_prototypes.float()).flatten(1, 2)
            usage = prototype_usage(scores)
            mask = attention_mask(self.mask, attention, grid, **self.mask_cfg)
            assignments = self._assign(scores, teacher_prototypes, student_prototypes)
            if self.queue is not None and self.training:
                self.queue.stage(embeddings, None if mask is None else mask > 0)
            assignments = pairs.align_teacher(assignments.unflatten(1, (batch, tokens)).unbind(), grid)
            counts = None if mask is None else aligned_mask(mask, pairs, grid, self.mask_threshold)
            weights = cell_weights(counts, assignments, self.distributed)
        return LeopartTargets(assignments, weights, usage)

    def _assign(self, scores: Tensor, teacher_prototypes: Tensor, student_prototypes: Tensor) -> Tensor:
        """(T, n, K) scores -> (T, n, K) assignments; the queue, if there is one, takes part in the equalisation."""
        valid = None
        num_tokens = scores.shape[1]
        if self.queue is not None:
            rows, usable = self.queue.share()
            prototypes = teacher_prototypes if self.queue_prototypes == 'teacher' else student_prototypes
            scores = torch.cat([F.linear(rows, prototypes.float()), scores], 1)
            valid = torch.cat([usable, usable.new_ones(scores.shape[0], num_tokens)], 1)
        return sinkhorn(scores, self.epsilon, self.iterations, valid, self.distributed)[:, -num_tokens:]

    def forward(self, embeddings: Tensor, prototypes: Tensor, targets: LeopartTargets) -> tuple[Tensor, Tensor]:
        """Loss and teacher-student agreement of (a part of) the images.

        Args:
            embeddings: (P, B, k·k, C) aligned student embeddings. The prototypes are applied after the alignment, both
                being linear.
            prototypes: (K, C) of the student.
            targets: those of the same images.

        Returns:
            The weighted sum over all cells, a scalar that adds up over parts of the batch, and the weighted share of
            cells whose most likely prototype agrees (no gradient).
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            logits = F.linear(embeddings.float(), prototypes.float() / self.temperature)
            entropy = F.cross_entropy(logits.flatten(0, 2), targets.assignments.flatten(0, 2), reduction='none')
            weights = targets.weights.flatten()
            same = logits.detach().flatten(0, 2).argmax(1) == targets.assignments.flatten(0, 2).argmax(1)
            return (entropy * weights).sum(), (same * weights).sum()


def prototype_usage(scores: Tensor) -> Tensor:
    """Entropy of the tokens' nearest prototypes in units of log min(K, n), for scores (..., n, K); 1 = all alike."""
    num_tokens, num_prototypes = scores[..., 0].numel(), scores.shape[-1]
    nearest = scores.argmax(-1).flatten()
    counts = scores.new_zeros(num_prototypes).scatter_add_(0, nearest, scores.new_ones(num_tokens))
    most = math.log(min(num_tokens, num_prototypes))
    return torch.special.entr(counts / num_tokens).sum() / most if most > 0 else counts.new_ones(())
