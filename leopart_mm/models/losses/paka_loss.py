"""The loss of PaKA: the patches of a crop relate to each other as those of the teacher do."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from leopart_mm.geometry.crop_pairs import CropPairs
from leopart_mm.models.losses.base import SelfSupLoss, TeacherOutput
from leopart_mm.models.losses.cell_shares import MASK_THRESHOLD, MASKS, aligned_mask, attention_mask, cell_shares
from leopart_mm.models.losses.kernel_alignment import linear_cka, relative_spread
from leopart_mm.registry import MODELS


@dataclass
class PaKATargets:
    """What the student of one batch is compared with.

    Attributes:
        cells: (P, B, k·k, C) aligned teacher vectors, without gradient.
        weights: (P, B, k·k) share of each cell in the loss; they sum to 1 over all processes' mean.
        health: What is known of the teacher.
    """

    cells: Tensor
    weights: Tensor
    health: Mapping[str, Tensor] = field(default_factory=dict)

    def images(self, start: int, stop: int) -> 'PaKATargets':
        """The targets of the images start..stop-1."""
        return PaKATargets(self.cells[:, start:stop], self.weights[:, start:stop], self.health)


@MODELS.register_module()
class PaKALoss(SelfSupLoss):
    """One minus the centred kernel alignment of the student's and the teacher's patches, over all crop pairs.

    `Patch-level kernel alignment for dense self-supervised learning <https://arxiv.org/abs/2509.05606>`_ (PaKA);
    docs/methods/paka.md. Every image and pair of crops has a kernel of its own, among the k·k cells of the overlap.
    There is no reference, queue or prototype.

    Args:
        kernel (int): Cells per side of an aligned overlap, k, at least 2. Defaults to 7.
        mask (str): Cells that count: 'all', 'fg' or 'bg' by the teacher's attention. An image then weighs as much as it
            has cells that count. Defaults to 'all'.
        mask_cfg (dict, optional): Arguments of `attention_foreground`. Defaults to None.
        mask_threshold (float): A cell counts if its aligned mask reaches this. Defaults to 1 - 1e-4.
        distributed (bool): Whether the batches of all processes are treated as one, where masks leave cells out.
            Defaults to True.

    Raises:
        ValueError: If `kernel` is below 2 or `mask` is unknown.
    """

    health_limits = dict(min_teacher_spread=1e-3, min_kernel_alignment=0.1)
    health_notes = dict(
        kernel_alignment='1: the patches of the student relate to each other as those of the teacher; it should rise.',
        teacher_spread='Share of variance in the length of the patches of an overlap; near 0: they become alike.')

    def __init__(self,
                 kernel: int = 7,
                 mask: str = 'all',
                 mask_cfg: dict | None = None,
                 mask_threshold: float = MASK_THRESHOLD,
                 distributed: bool = True,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if kernel < 2:
            raise ValueError(f'PaKALoss: kernel={kernel}: a single cell relates to nothing; take at least 2')
        if mask not in MASKS:
            raise ValueError(f'PaKALoss: mask={mask!r} is unknown; choose one of {MASKS}')
        self.kernel = kernel
        self.mask, self.mask_cfg, self.mask_threshold = mask, mask_cfg or {}, mask_threshold
        self.distributed = distributed

    @property
    def needs_attention(self) -> bool:
        """Whether `targets` needs the teacher's attention."""
        return self.mask != 'all'

    @torch.no_grad()
    def targets(self, teacher: TeacherOutput, pairs: CropPairs) -> PaKATargets:
        """The teacher's cells of all pairs, and their weights.

        Raises:
            ValueError: If masks are in use and there is no attention.
        """
        grid = teacher.grid
        with torch.autocast(teacher.embeddings.device.type, enabled=False):
            cells = pairs.align_teacher(teacher.embeddings.float().unbind(), grid)
            mask = attention_mask(self.mask, teacher.attention, grid, **self.mask_cfg)
            counts = None if mask is None else aligned_mask(mask, pairs, grid, self.mask_threshold)
            weights = cell_shares(counts, cells, self.distributed)
            spread = (relative_spread(cells, weights) * weights.sum(-1)).sum()
        return PaKATargets(cells, weights, dict(teacher_spread=spread))

    def forward(self, embeddings: Tensor, targets: PaKATargets) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of (a part of) the images.

        Args:
            embeddings: (P, B, k·k, C) aligned student embeddings.
            targets: Those of the same images.

        Returns:
            The weighted mean of 1 - CKA, a scalar, 0 to 1; and `kernel_alignment`, the weighted mean of CKA.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            counts = targets.weights > 0 if self.needs_attention else None
            alignment = linear_cka(embeddings.float(), targets.cells, counts)
            shares = targets.weights.sum(-1)
            loss = ((1 - alignment) * shares).sum()
        return loss, dict(kernel_alignment=(alignment.detach() * shares).sum())

    def health_findings(self,
                        means: Mapping[str, float],
                        settled: bool = True,
                        limits: Mapping[str, float] | None = None) -> list[str]:
        """A teacher whose patches are all alike, and a student whose kernels are not the teacher's."""
        limits, found = {**self.health_limits, **(limits or {})}, []
        spread = means.get('teacher_spread', 1.)
        if spread < limits['min_teacher_spread']:
            found.append(
                f'teacher_spread is {spread:.5f} (0 = the patches of an overlap are all alike). Likely causes: '
                'learning rate of the head too high, teacher momentum too low, or images without content')
        alignment = means.get('kernel_alignment', 1.)
        if settled and alignment < limits['min_kernel_alignment']:
            found.append(
                f"kernel_alignment is still {alignment:.2f} (1 = the student's patches relate as the teacher's). "
                'Likely causes: backbone without pretrained weights (see the load report at the start), learning rate '
                'too low, crops that do not overlap, or a mask that leaves no cell')
        return found
