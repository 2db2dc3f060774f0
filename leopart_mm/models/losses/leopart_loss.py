"""The loss of Leopart: the student predicts, at every cell two crops share, the teacher's cluster assignment."""

import math
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor
from torchvision.ops import roi_align

from leopart_mm.masks.attention import attention_foreground
from leopart_mm.models.losses.alignment import CropPairs
from leopart_mm.models.losses.embedding_queue import EmbeddingQueue
from leopart_mm.models.losses.sinkhorn import sinkhorn
from leopart_mm.registry import MODELS

MASKS = ('all', 'fg', 'bg')


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

    `Self-Supervised Learning of Object Parts for Semantic Segmentation <https://arxiv.org/abs/2204.13101>`_, sec. 3.2.
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
                 mask_threshold: float = 1 - 1e-4,
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
        num_global, batch, tokens = embeddings.shape[:3]
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = embeddings.float()
            scores = F.linear(embeddings, teacher_prototypes.float()).flatten(1, 2)
            usage = prototype_usage(scores)
            mask = None
            if self.needs_attention:
                if attention is None:
                    raise ValueError(f'mask={self.mask!r} needs the class-token attention of the teacher')
                mask = attention_foreground(attention.reshape(-1, 1, *grid), **self.mask_cfg)
                mask = (mask if self.mask == 'fg' else 1 - mask).view(num_global, batch, tokens)
            assignments = self._assign(scores, teacher_prototypes, student_prototypes)
            if self.queue is not None and self.training:
                self.queue.stage(embeddings, None if mask is None else mask > 0)
            assignments = pairs.align_teacher(assignments.unflatten(1, (batch, tokens)).unbind(), grid)
            weights = self._weights(assignments, mask, pairs, grid)
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

    def _weights(self, assignments: Tensor, mask: Tensor | None, pairs: CropPairs, grid: tuple[int, int]) -> Tensor:
        shape, num_pairs = assignments.shape[:3], assignments.shape[0]
        if mask is None:
            return assignments.new_full(shape, 1 / math.prod(shape))
        if self.mask_threshold < 1:
            aligned = pairs.align_teacher(mask.unsqueeze(-1).unbind(), grid).squeeze(-1)
        else:
            aligned = _align_masks_by_torchvision(mask, pairs, grid)
        counts = (aligned >= self.mask_threshold).to(aligned.dtype)
        total = counts.sum((1, 2), keepdim=True)
        world = 1
        if self.distributed and dist.is_available() and dist.is_initialized():
            world = dist.get_world_size()
            dist.all_reduce(total)
        # DDP averages gradients over processes, hence the factor; a pair without any cell adds 0.
        return counts * (world / num_pairs) / total.clamp(min=1)

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


def _align_masks_by_torchvision(mask: Tensor, pairs: CropPairs, grid: tuple[int, int]) -> Tensor:
    """(T, B, h·w) -> (P, B, k·k). Whether a sum of weights rounds to exactly 1 depends on the kernel: take that one."""
    aligned = []
    for crop, one in enumerate(mask):
        boxes = pairs.teacher_boxes(crop)
        out = roi_align(one.view(-1, 1, *grid), list(boxes), pairs.kernel, aligned=True)
        out = out.view(*boxes.shape[:2], pairs.kernel, pairs.kernel)
        if pairs.flipped is not None:
            out = torch.where(pairs.flipped[:, crop, None, None, None], out.flip(-1), out)
        aligned.append(out.flatten(2).transpose(0, 1))
    return torch.cat(aligned)
