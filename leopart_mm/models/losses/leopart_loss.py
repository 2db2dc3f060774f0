"""The loss of Leopart: the student predicts, at every cell two crops share, the teacher's cluster assignment."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from leopart_mm.geometry.crop_pairs import CropPairs
from leopart_mm.models.losses.base import SelfSupLoss, TeacherOutput
from leopart_mm.models.losses.cell_shares import MASK_THRESHOLD, MASKS, aligned_mask, attention_mask, cell_shares
from leopart_mm.models.losses.embedding_queue import EmbeddingQueue
from leopart_mm.models.losses.prototypes import Prototypes
from leopart_mm.models.losses.sinkhorn import sinkhorn
from leopart_mm.registry import MODELS


@dataclass
class LeopartTargets:
    """What the student of one batch has to predict; nothing has a gradient.

    Attributes:
        assignments: (P, B, k·k, K) aligned soft assignments.
        weights: (P, B, k·k) share of each cell in the loss; they sum to 1 over all processes' mean.
        health: `prototype_usage`, entropy of the teacher's nearest prototypes in units of log min(K, tokens), from 0 (a
            single one is used) to 1.
    """

    assignments: Tensor
    weights: Tensor
    health: Mapping[str, Tensor]

    def images(self, start: int, stop: int) -> 'LeopartTargets':
        """The targets of the images start..stop-1."""
        return LeopartTargets(self.assignments[:, start:stop], self.weights[:, start:stop], self.health)


@MODELS.register_module()
class LeopartLoss(SelfSupLoss):
    """Cross-entropy between aligned teacher assignments and student predictions over all crop pairs.

    `Self-Supervised Learning of Object Parts for Semantic Segmentation <https://arxiv.org/abs/2204.13101>`_;
    docs/methods/leopart.md §3, §4.

    Args:
        embed_dims (int): Width C of the embeddings; `Leopart` takes it from its neck. Defaults to 256.
        num_prototypes (int): K. Defaults to 300.
        epsilon (float): Temperature of Sinkhorn-Knopp, > 0. Defaults to 0.05.
        iterations (int): Rounds of Sinkhorn-Knopp. Defaults to 3.
        temperature (float): Temperature of the student's softmax, > 0. Defaults to 0.1.
        kernel (int): Cells per side of an aligned overlap. Defaults to 7.
        mask (str): Cells that count: 'all', 'fg' or 'bg' by the teacher's attention. Defaults to 'all'.
        mask_cfg (dict, optional): Arguments of `attention_foreground`. Defaults to None.
        mask_threshold (float): A cell counts if its aligned mask reaches this. 1.0 is published, and loses fully
            covered cells to rounding. Defaults to 1 - 1e-4.
        queue (dict, optional): Arguments of `EmbeddingQueue` (`length`, ...); `embed_dims` is that of the loss.
            Defaults to None.
        queue_prototypes (str): Whose prototypes score the queue: 'teacher', or 'student' as published. Defaults to
            'teacher'.
        distributed (bool): Whether the batches of all processes are treated as one. Defaults to True.

    Raises:
        ValueError: If `mask` or `queue_prototypes` is unknown, or a temperature is not positive.
    """

    health_limits = dict(min_usage=0.2, max_ce_over_log_k=0.98)
    health_notes = dict(
        prototype_usage='1: all prototypes are used alike; near 0: collapse to a few.',
        ce_over_log_k='1: the student has learnt nothing yet; it should fall.',
        agreement='Share of patches for which student and teacher name the same prototype; it should rise.')

    def __init__(self,
                 embed_dims: int = 256,
                 num_prototypes: int = 300,
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
        self.queue = EmbeddingQueue(**{'embed_dims': embed_dims, **queue}) if queue else None
        self.prototypes = Prototypes(embed_dims, num_prototypes)

    @property
    def needs_attention(self) -> bool:
        """Whether `targets` needs the teacher's attention."""
        return self.mask != 'all'

    def teacher_part(self) -> nn.Module:
        """The teacher has prototypes too."""
        num_prototypes, embed_dims = self.prototypes.weight.shape
        return nn.ModuleDict(dict(prototypes=Prototypes(embed_dims, num_prototypes)))

    def normalize_(self) -> None:
        """Scale the prototypes to unit length."""
        self.prototypes.normalize_()

    def after_step(self) -> None:
        """This step's embeddings enter the queue."""
        if self.queue is not None:
            self.queue.commit()

    @torch.no_grad()
    def targets(self, teacher: TeacherOutput, pairs: CropPairs) -> LeopartTargets:
        """Assignments and weights of all pairs, from the teacher's prototypes, or from those of this loss without one.

        Raises:
            ValueError: If masks are in use and there is no attention.
        """
        embeddings = teacher.embeddings
        batch, tokens = embeddings.shape[1:3]
        prototypes = (self if teacher.head is None else teacher.head).get_parameter('prototypes.weight')
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = embeddings.float()
            scores = F.linear(embeddings, prototypes.float()).flatten(1, 2)
            usage = prototype_usage(scores)
            mask = attention_mask(self.mask, teacher.attention, teacher.grid, **self.mask_cfg)
            assignments = self._assign(scores, prototypes)
            if self.queue is not None:
                self.queue.stage(embeddings, None if mask is None else mask > 0)
            assignments = pairs.align_teacher(assignments.unflatten(1, (batch, tokens)).unbind(), teacher.grid)
            counts = None if mask is None else aligned_mask(mask, pairs, teacher.grid, self.mask_threshold)
            weights = cell_shares(counts, assignments, self.distributed)
        return LeopartTargets(assignments, weights, dict(prototype_usage=usage))

    def _assign(self, scores: Tensor, prototypes: Tensor) -> Tensor:
        """(T, n, K) scores -> (T, n, K) assignments; the queue, if there is one, takes part in the equalisation."""
        valid = None
        num_tokens = scores.shape[1]
        if self.queue is not None:
            rows, usable = self.queue.share()
            prototypes = prototypes if self.queue_prototypes == 'teacher' else self.prototypes.weight
            scores = torch.cat([F.linear(rows, prototypes.float()), scores], 1)
            valid = torch.cat([usable, usable.new_ones(scores.shape[0], num_tokens)], 1)
        return sinkhorn(scores, self.epsilon, self.iterations, valid, self.distributed)[:, -num_tokens:]

    def forward(self, embeddings: Tensor, targets: LeopartTargets) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of (a part of) the images.

        Args:
            embeddings: (P, B, k·k, C) aligned student embeddings. The prototypes are applied after the alignment, both
                being linear.
            targets: Those of the same images.

        Returns:
            The weighted sum over all cells, a scalar; `ce_over_log_k`, the same in units of log K (1 = the student
            knows nothing); `agreement`, the weighted share of cells where student and teacher choose the same
            prototype.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            logits = F.linear(embeddings.float(), self.prototypes.weight.float() / self.temperature)
            entropy = F.cross_entropy(logits.flatten(0, 2), targets.assignments.flatten(0, 2), reduction='none')
            weights = targets.weights.flatten()
            same = logits.detach().flatten(0, 2).argmax(1) == targets.assignments.flatten(0, 2).argmax(1)
            loss, agreement = (entropy * weights).sum(), (same * weights).sum()
        return loss, dict(ce_over_log_k=loss.detach() / math.log(logits.shape[-1]), agreement=agreement)

    def health_findings(self,
                        means: Mapping[str, float],
                        settled: bool = True,
                        limits: Mapping[str, float] | None = None) -> list[str]:
        """Collapse to a few prototypes, and a student that predicts nothing."""
        limits, found = {**self.health_limits, **(limits or {})}, []
        usage = means.get('prototype_usage', 1.)
        if usage < limits['min_usage']:
            found.append(
                f'prototype_usage is {usage:.2f} (1 = all prototypes are used alike): the embeddings collapse to a few '
                'prototypes. Likely causes: learning rate of the head too high, teacher momentum too low, epsilon of '
                'Sinkhorn too high, or more prototypes than the images can fill')
        cross_entropy = means.get('ce_over_log_k', 0.)
        if settled and cross_entropy > limits['max_ce_over_log_k']:
            found.append(
                f'the loss is still {cross_entropy:.2f} log K, which is what a student that predicts nothing pays. '
                'Likely causes: backbone without pretrained weights (see the load report at the start), learning rate '
                'too low, or crops that do not overlap')
        return found


def prototype_usage(scores: Tensor) -> Tensor:
    """Entropy of the tokens' nearest prototypes in units of log min(K, n), for scores (..., n, K); 1 = all alike."""
    num_tokens, num_prototypes = scores[..., 0].numel(), scores.shape[-1]
    nearest = scores.argmax(-1).flatten()
    counts = scores.new_zeros(num_prototypes).scatter_add_(0, nearest, scores.new_ones(num_tokens))
    max_entropy = math.log(min(num_tokens, num_prototypes))
    return torch.special.entr(counts / num_tokens).sum() / max_entropy if max_entropy > 0 else counts.new_ones(())
