"""The loss of NeCo: the student orders reference patches by similarity as the teacher does."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from mmengine.dist import get_dist_info
from torch import Tensor

from leopart_mm.devices import on_cpu
from leopart_mm.geometry.crop_pairs import CropPairs
from leopart_mm.models.losses.base import SelfSupLoss, TeacherOutput
from leopart_mm.models.losses.cell_shares import (
    MASK_THRESHOLD,
    MASKS,
    align_by_torchvision,
    aligned_mask,
    attention_mask,
    cell_shares,
)
from leopart_mm.models.losses.draws import draw_permutations, keep_counter
from leopart_mm.models.losses.embedding_queue import EmbeddingQueue
from leopart_mm.models.losses.references import batch_references, queue_references
from leopart_mm.models.losses.sorting.networks import sorting_network
from leopart_mm.models.losses.sorting.reference import SIMILARITIES, similarities
from leopart_mm.models.losses.sorting.relaxations import check_relaxation
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
        health: Empty: nothing is known before the student has run.
    """

    queries: Tensor
    references: Tensor
    weights: Tensor
    health: Mapping[str, Tensor] = field(default_factory=dict)

    def images(self, start: int, stop: int) -> 'NeCoTargets':
        """The targets of the images start..stop-1."""
        return NeCoTargets(*(tensor[:, start:stop] for tensor in (self.queries, self.references, self.weights)))


@MODELS.register_module()
class NeCoLoss(SelfSupLoss):
    """Cross-entropy between the teacher's and the student's soft order of reference patches, over all crop pairs.

    `Near, far: Patch-ordering enhances vision foundation models' scene understanding
    <https://arxiv.org/abs/2408.11054>`_ (NeCo); docs/methods/neco.md §3.
    References come from the whole batch, or from a queue.

    Args:
        kernel (int): Cells per side of an aligned overlap, k; its k·k cells are the queries. Defaults to 7.
        num_references (int, optional): n, references per image, at least 2. Defaults to None: k·k, as published.
        network (str): Sorting network: 'bitonic' or 'odd_even'. Defaults to 'bitonic'.
        published_network (bool): Whether the published bitonic network is taken even for sizes that it does not sort
            (22, 38, 42 to 46, 54 and others above 64). Defaults to False.
        relaxation (str): Soft comparison, a name of `RELAXATIONS`. Defaults to 'cauchy'.
        student_steepness (float): Steepness of the student's sort, > 0. Defaults to 100.
        teacher_steepness (float): Steepness of the teacher's sort, > 0. Defaults to 100.
        similarity (str): 'cosine', or 'euclidean' for the distance. Defaults to 'cosine'.
        mask (str): Cells that count, and serve as references: 'all', 'fg' or 'bg' by the teacher's attention. Defaults
            to 'all'.
        mask_cfg (dict, optional): Arguments of `attention_foreground`. Defaults to None.
        mask_threshold (float): A cell counts if its aligned mask reaches this. 1.0 is published, and loses fully
            covered cells to rounding. Defaults to 1 - 1e-4.
        published_candidates (bool): Whether masked references from the batch are chosen by the masks of other images
            and boxes, as published. Defaults to False.
        queue (dict, optional): Arguments of `EmbeddingQueue` (`length`, ...); `embed_dims` is that of the loss. Then
            references are past patches of the teacher, this step's among them. Defaults to None: the batch's own
            aligned patches.
        distributed (bool): Whether the batches of all processes are treated as one. Defaults to True.
        compiled (bool, optional): Whether `torch.compile` fuses the sort. Defaults to None: on GPUs.
        seed (int): Seed of the choice of references. Defaults to 0.
        embed_dims (int): Width C of the embeddings, for the queue; `NeCo` takes it from its neck. Defaults to 256.

    Raises:
        ValueError: If a name is unknown, a steepness is not positive or there are fewer than 2 references.
    """

    health_limits = dict(max_target_entropy=0.98, min_rank_agreement=0.1)
    health_notes = dict(
        target_entropy='1: the teacher cannot tell references apart; it should stay below.',
        rank_agreement='1: the student orders references as the teacher does; it should rise.',
        similarity_spread='Spread of the similarities; near 0: all patches become alike.')

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
                 embed_dims: int = 256,
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
        check_relaxation(relaxation)
        self.kernel, self.num_references = kernel, num_references
        self.network = sorting_network(network, num_references, published_network)
        self.relaxation, self.similarity = relaxation, similarity
        self.student_steepness, self.teacher_steepness = student_steepness, teacher_steepness
        self.mask, self.mask_cfg, self.mask_threshold = mask, mask_cfg or {}, mask_threshold
        self.published_candidates, self.distributed = published_candidates, distributed
        self.compiled, self.seed = compiled, seed
        self.queue = EmbeddingQueue(**{'embed_dims': embed_dims, **queue}) if queue else None
        self.steps: int
        keep_counter(self, 'steps')  # decides, with the seed, which references are drawn

    @property
    def needs_attention(self) -> bool:
        """Whether `targets` needs the teacher's attention."""
        return self.mask != 'all'

    @property
    def learns_through_targets(self) -> bool:
        """References from the batch have a gradient if the embeddings have one, those from a queue have none."""
        return self.queue is None

    @property
    def max_entropy(self) -> float:
        """Entropy of a uniform order, log n."""
        return math.log(self.num_references)

    def after_step(self) -> None:
        """The step's patches enter the queue, and the next step draws other references."""
        if self.queue is not None:
            self.queue.commit()
        self.steps += 1

    def targets(self,
                teacher: TeacherOutput,
                pairs: CropPairs,
                mask: Tensor | None = None,
                orders: Tensor | None = None) -> NeCoTargets:
        """Queries, references and weights of all pairs.

        In training mode the references see a queue to which this step's patches are already pushed.

        Args:
            teacher: Embeddings of the teacher, or of a student that has none.
            pairs: The crop pairs of the batch.
            mask: (T, B, h·w) of 0 and 1, the cells that count; by default made of the attention.
            orders: (P, N·n) random numbers behind the references, see `draw_permutations`; by default they follow from
                the seed and the number of steps.

        Raises:
            ValueError: If masks are in use and there is neither attention nor mask.
        """
        embeddings, grid = teacher.embeddings, teacher.grid
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = embeddings.float()
            mask = attention_mask(self.mask, teacher.attention, grid, **self.mask_cfg) if mask is None else mask
            candidates = pairs.align_teacher(embeddings.unbind(), grid)
            counts = None if mask is None else aligned_mask(mask, pairs, grid, self.mask_threshold)
            weights = cell_shares(counts, candidates, self.distributed)
            if self.queue is not None:
                state = self.queue.stage(embeddings, None if mask is None else mask > 0)
                orders = self._orders(pairs, self.queue.length, self.queue.gather) if orders is None else orders
                references = queue_references(state, pairs, orders, self.num_references)
            else:
                usable = self._published_usable(mask, pairs, grid) if self.published_candidates else counts
                orders = self._orders(pairs, None, self.distributed) if orders is None else orders
                references, exist = batch_references(candidates, usable, orders, self.num_references, self.distributed)
                weights = weights * exist[:, None, None]
        return NeCoTargets(candidates.detach(), references, weights)

    @torch.compiler.disable  # or every step would be compiled again, for its number
    def _orders(self, pairs: CropPairs, length: int | None, gather: bool) -> Tensor:
        size = pairs.batch * self.num_references * (get_dist_info()[1] if gather else 1)
        return draw_permutations(len(pairs.pairs), length or size, self.seed, self.steps, size)

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

    def forward(self, embeddings: Tensor, targets: NeCoTargets) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of (a part of) the images.

        Args:
            embeddings: (P, B, k·k, C) aligned student embeddings.
            targets: Those of the same images.

        Returns:
            The weighted sum over all cells, a scalar; `divergence` >= 0, what the student could still gain (the loss
            less the entropy of the teacher's order); `target_entropy`, 0..1 (1 = the teacher cannot tell references
            apart); `rank_agreement`, -1..1, correlation of the ranks that teacher and student give the references;
            `similarity_spread`, standard deviation of a patch's similarities to the references (near 0 = collapse).
        """
        losses, health = self.pair_losses(embeddings, targets)
        loss = losses.sum()
        entropy, agreement, deviation = health
        return loss, dict(
            divergence=loss.detach() - entropy * self.max_entropy,
            target_entropy=entropy,
            rank_agreement=agreement,
            similarity_spread=deviation)

    def pair_losses(self, embeddings: Tensor, targets: NeCoTargets) -> tuple[Tensor, Tensor]:
        """(P,) shares of the pairs in the loss, and (3,) without gradient.

        The three are weighted sums over the cells: the entropy of the teacher's order in units of log n, the
        correlation of the teacher's and the student's ranks, and the standard deviation of the teacher's similarities.
        With a mask only cells that count are sorted on a CPU. A GPU sorts all, the others with weight 0: to find those
        that count would wait for it.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            student = similarities(embeddings.float(), targets.references, self.similarity)
            with torch.no_grad():
                teacher = similarities(targets.queries, targets.references, self.similarity)
            shape, weights = student.shape[:3], targets.weights.flatten()
            student, teacher = student.flatten(0, 2), teacher.flatten(0, 2)
            counted = torch.arange(len(weights), device=weights.device)
            if self.needs_attention and on_cpu(weights):
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
                        entropies / self.max_entropy, rank_correlation(student, teacher), spread(teacher))
                ])
        return of_pairs, health

    def health_findings(self,
                        means: Mapping[str, float],
                        settled: bool = True,
                        limits: Mapping[str, float] | None = None) -> list[str]:
        """A teacher that cannot tell references apart, and a student that does not follow its order."""
        limits, found = {**self.health_limits, **(limits or {})}, []
        entropy = means.get('target_entropy', 0.)
        if entropy > limits['max_target_entropy']:
            found.append(
                f'target_entropy is {entropy:.3f} (1 = the teacher cannot tell references apart): all patches become '
                'alike. Likely causes: learning rate of the head too high, teacher momentum too low, or a '
                'teacher_steepness too low for the similarities')
        agreement = means.get('rank_agreement', 1.)
        if settled and agreement < limits['min_rank_agreement']:
            found.append(
                f'rank_agreement is still {agreement:.2f} (1 = the student orders references as the teacher does). '
                'Likely causes: backbone without pretrained weights (see the load report at the start), learning rate '
                'too low, crops that do not overlap, or a mask that leaves no cell')
        return found


def spread(values: Tensor) -> Tensor:
    """Standard deviation of rows (R, n), (R,)."""
    return (values - values.mean(1, keepdim=True)).square().mean(1).sqrt()


def rank_correlation(a: Tensor, b: Tensor, resolution: float = 1e-4) -> Tensor:
    """Spearman's correlation of rows (R, n) of numbers, (R,) in -1..1.

    Numbers are compared in steps of `resolution` and ties are ranked by their place: a reference that is drawn twice
    must not be ranked by rounding errors.
    """
    size = a.shape[1]
    ranks = [(values / resolution).round().argsort(dim=1, stable=True).argsort(dim=1) for values in (a, b)]
    difference = (ranks[0] - ranks[1]).to(torch.float32)
    return 1 - 6 * difference.square().sum(1) / (size * (size**2 - 1))
