"""The loss of NeCo: the student orders reference patches by similarity as the teacher does."""

import math
from dataclasses import dataclass

import torch
from mmengine.dist import get_dist_info
from mmengine.model import BaseModule
from torch import Tensor

from leopart_mm.geometry.crop_pairs import CropPairs
from leopart_mm.models.losses.cell_shares import (
    MASK_THRESHOLD,
    MASKS,
    align_by_torchvision,
    aligned_mask,
    attention_mask,
    cell_weights,
)
from leopart_mm.models.losses.embedding_queue import EmbeddingQueue
from leopart_mm.models.losses.references import batch_references, draw_orders, queue_references
from leopart_mm.models.losses.sorting.networks import sorting_network
from leopart_mm.models.losses.sorting.reference import SIMILARITIES, similarities
from leopart_mm.models.losses.sorting.relaxations import get_relaxation
from leopart_mm.models.losses.sorting.sorted_cross_entropy import sorted_cross_entropy
from leopart_mm.registry import MODELS


@dataclass
class NeCoTargets:
    """What the student of one batch is compared with.

    Attributes:
        queries: (P, B, k·k, C) aligned teacher vectors, without gradient.
        references: (P, B, n, C), those of each pair and image. They have a gradient only if the teacher's embeddings
            have one and references come from the batch.
        weights: (P, B, k·k) share of each cell in the loss; they sum to 1 over all processes' mean.
    """

    queries: Tensor
    references: Tensor
    weights: Tensor

    def images(self, start: int, stop: int) -> 'NeCoTargets':
        """The targets of the images start..stop-1."""
        return NeCoTargets(*(one[:, start:stop] for one in (self.queries, self.references, self.weights)))


@MODELS.register_module()
class NeCoLoss(BaseModule):
    """Cross-entropy between the teacher's and the student's soft order of reference patches, over all crop pairs.

    `Near, far: Patch-ordering enhances vision foundation models' scene understanding
    <https://arxiv.org/abs/2408.11054>`_ (NeCo); docs/methods/neco.md §3.
    Targets and loss are two calls, because references come from the whole batch and the rest does not.

    Args:
        kernel (int): Cells a side of an aligned overlap, k; its k·k cells are the queries. Defaults to 7.
        num_references (int, optional): n, references of an image. Defaults to None: k·k, as published.
        network (str): Sorting network: 'bitonic' or 'odd_even'. Defaults to 'bitonic'.
        published_network (bool): Take the published bitonic network even for sizes that it does not sort (22, 38, 42
            to 46, 54 and others above 64). Defaults to False.
        relaxation (str): Soft comparison, a name of `RELAXATIONS`. Defaults to 'cauchy'.
        student_steepness (float): Of the student's sort. Defaults to 100.
        teacher_steepness (float): Of the teacher's sort. Defaults to 100.
        similarity (str): 'cosine', or 'euclidean' for the distance. Defaults to 'cosine'.
        mask (str): Cells that count, and serve as references: 'all', 'fg' or 'bg' by the teacher's attention. Defaults
            to 'all'.
        mask_cfg (dict, optional): Arguments of `attention_foreground`. Defaults to None.
        mask_threshold (float): A cell counts if its aligned mask reaches this. 1.0 is published, and loses fully
            covered cells to rounding. Defaults to 1 - 1e-4.
        published_candidates (bool): Choose masked references from the batch by the masks of other images and boxes, as
            published. Defaults to False.
        queue (dict, optional): Arguments of `EmbeddingQueue` (`length`, `embed_dims`, ...). Then references are past
            patches of the teacher, this step's among them. Defaults to None: the batch's own aligned patches.
        distributed (bool): Treat the batches of all processes as one. Defaults to True.
        compiled (bool, optional): Fuse the sort by `torch.compile`. Defaults to None: on GPUs.
        seed (int): Of the choice of references. Defaults to 0.
    """

    def __init__(self,
                 kernel: int = 7,
                 num_references: int | None = None,
                 network: str = 'bitonic',
                 published_network: bool = False,
                 relaxation: str = 'cauchy',
                 student_steepness: float = 100.,
                 teacher_steepness: float = 100.,
                 similarity: str = 'cosine',
                 mask: str = 'all',
                 mask_cfg: dict | None = None,
                 mask_threshold: float = MASK_THRESHOLD,
                 published_candidates: bool = False,
                 queue: dict | None = None,
                 distributed: bool = True,
                 compiled: bool | None = None,
                 seed: int = 0,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        num_references = kernel**2 if num_references is None else num_references
        if kernel < 1 or num_references < 2:
            raise ValueError(f'kernel={kernel} and num_references={num_references}: there is nothing to sort; take at '
                             'least 2 references')
        if mask not in MASKS:
            raise ValueError(f'mask={mask!r} is unknown; choose one of {MASKS}')
        if similarity not in SIMILARITIES:
            raise ValueError(f'similarity={similarity!r} is unknown; choose one of {SIMILARITIES}')
        if student_steepness <= 0 or teacher_steepness <= 0:
            raise ValueError(f'student_steepness={student_steepness} and teacher_steepness={teacher_steepness} must be '
                             'positive')
        get_relaxation(relaxation)
        self.kernel, self.num_references = kernel, num_references
        self.network = sorting_network(network, num_references, published_network)
        self.relaxation, self.similarity = relaxation, similarity
        self.student_steepness, self.teacher_steepness = student_steepness, teacher_steepness
        self.mask, self.mask_cfg, self.mask_threshold = mask, mask_cfg or {}, mask_threshold
        self.published_candidates, self.distributed = published_candidates, distributed
        self.compiled, self.seed = compiled, seed
        self.queue = EmbeddingQueue(**queue) if queue else None
        # Decides, with the seed, which references are drawn; a resumed run goes on with it.
        self.register_buffer('steps', torch.zeros((), dtype=torch.long))

    @property
    def needs_attention(self) -> bool:
        """Whether the targets need the teacher's attention."""
        return self.mask != 'all'

    @property
    def most_entropy(self) -> float:
        """The entropy of an order of which nothing is known: log n."""
        return math.log(self.num_references)

    def after_step(self) -> None:
        """Make what this step has drawn and pushed the past; nothing else changes the loss's buffers."""
        if self.queue is not None:
            self.queue.push_staged()
        self.steps += 1

    def targets(self,
                embeddings: Tensor,
                pairs: CropPairs,
                grid: tuple[int, int],
                attention: Tensor | None = None,
                mask: Tensor | None = None,
                orders: Tensor | None = None) -> NeCoTargets:
        """Queries, references and weights of all pairs.

        In training mode the references see a queue to which this step's patches are already pushed.

        Args:
            embeddings: (T, B, h·w, C) unit vectors of the teacher, or of a student that has none.
            pairs: the crop pairs of the batch.
            grid: (h, w) of a global crop.
            attention: (T, B, h·w) class-token attention averaged over heads, if masks are in use.
            mask: (T, B, h·w) of 0 and 1, the cells that count; by default made of the attention.
            orders: (P, N·n) random numbers behind the references, see `draw_orders`; by default they follow from the
                seed and the number of steps.

        Raises:
            ValueError: if masks are in use and there is neither attention nor mask.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = embeddings.float()
            mask = attention_mask(self.mask, attention, grid, **self.mask_cfg) if mask is None else mask
            candidates = pairs.align_teacher(embeddings.unbind(), grid)
            counts = None if mask is None else aligned_mask(mask, pairs, grid, self.mask_threshold)
            weights = cell_weights(counts, candidates, self.distributed)
            if self.queue is not None:
                state = self.queue.state()
                if self.training:
                    state = self.queue.pushed(embeddings, None if mask is None else mask > 0)
                    self.queue.stage_state(state)
                orders = self._orders(pairs, self.queue.length, self.queue.gather) if orders is None else orders
                references = queue_references(state, pairs, orders, self.num_references)
            else:
                usable = self._published_usable(mask, pairs, grid) if self.published_candidates else counts
                if orders is None:
                    orders = self._orders(pairs, None, self.distributed)
                references, exist = batch_references(candidates, usable, orders, self.num_references, self.distributed)
                weights = weights * exist[:, None, None]
        return NeCoTargets(candidates.detach(), references, weights)

    def _orders(self, pairs: CropPairs, length: int | None, gather: bool) -> Tensor:
        wanted = pairs.batch * self.num_references * (get_dist_info()[1] if gather else 1)
        return draw_orders(len(pairs.pairs), length or wanted, wanted, self.seed, int(self.steps))

    def _published_usable(self, mask: Tensor | None, pairs: CropPairs, grid: tuple[int, int]) -> Tensor | None:
        """(P, B, k·k): entries t·B..(t+1)·B of all images' aligned masks, whatever images and boxes these are."""
        if mask is None:
            return None
        usable = []
        for crop, _ in pairs.pairs:
            boxes = pairs.gc_boxes[:, crop].float() / pairs.patch_size
            aligned = align_by_torchvision(mask[crop], boxes, pairs, crop, grid).transpose(0, 1).flatten(0, 1)
            usable.append(aligned[crop * pairs.batch:(crop + 1) * pairs.batch] >= self.mask_threshold)
        return torch.stack(usable)

    def forward(self, embeddings: Tensor, targets: NeCoTargets) -> tuple[Tensor, Tensor]:
        """Losses of (a part of) the images.

        Args:
            embeddings: (P, B, k·k, C) aligned student embeddings.
            targets: those of the same images.

        Returns:
            (P,) the pairs' shares of the loss, which is their sum and adds up over parts of the batch; and, without
            gradient, the weighted sums of three numbers a cell: the entropy of the teacher's order in units of
            log n, the correlation of the teacher's and the student's ranks, and the standard deviation of the
            teacher's similarities.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            student = similarities(embeddings.float(), targets.references, self.similarity)
            with torch.no_grad():
                teacher = similarities(targets.queries, targets.references, self.similarity)
            shape, weights = student.shape[:3], targets.weights.flatten()
            student, teacher = student.flatten(0, 2), teacher.flatten(0, 2)
            counted = torch.arange(len(weights), device=weights.device)
            if self.needs_attention:
                counted = weights.nonzero()[:, 0]
                student, teacher, weights = student[counted], teacher[counted], weights[counted]
            losses, entropies = sorted_cross_entropy(
                student, teacher, self.network, self.student_steepness, self.teacher_steepness, self.relaxation,
                compiled=self.compiled)
            pair = counted.div(shape[1] * shape[2], rounding_mode='floor')
            of_pairs = losses.new_zeros(shape[0]).index_add(0, pair, losses * weights)
            with torch.no_grad():
                health = torch.stack([
                    (number * weights).sum() for number in (
                        entropies / self.most_entropy, rank_correlation(student, teacher), spread(teacher))
                ])
        return of_pairs, health


def spread(values: Tensor) -> Tensor:
    """Standard deviation of rows (R, n), (R,)."""
    return (values - values.mean(1, keepdim=True)).square().mean(1).sqrt()


def rank_correlation(a: Tensor, b: Tensor, resolution: float = 1e-4) -> Tensor:
    """Spearman's correlation of rows (R, n) of numbers, (R,) in -1..1.

    Numbers are compared in steps of `resolution` and ties are ranked by their place: a reference that is drawn twice
    must not be ranked by rounding errors.
    """
    size = a.shape[1]
    ranks = [(one / resolution).round().argsort(dim=1, stable=True).argsort(dim=1) for one in (a, b)]
    difference = (ranks[0] - ranks[1]).to(torch.float32)
    return 1 - 6 * difference.square().sum(1) / (size * (size**2 - 1))
