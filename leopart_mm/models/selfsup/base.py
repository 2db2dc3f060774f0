"""Student and EMA teacher over multiple crops: what Leopart and NeCo share."""

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from leopart_mm.geometry.crop_pairs import CropPairs

TEACHER_INITS = ('copy', 'independent')


@dataclass
class TeacherOutput:
    """The teacher's view of the T global crops.

    Attributes:
        embeddings: (T, B, h·w, C) unit vectors.
        grid: (h, w).
        attention: (T, B, h·w) class-token attention of the last block averaged over heads, or None.
    """

    embeddings: Tensor
    grid: tuple[int, int]
    attention: Tensor | None


class Teacher(nn.Module):
    """Backbone, neck and the head's share of the teacher; no gradient, always in evaluation mode."""

    def __init__(self, backbone: nn.Module, neck: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.neck, self.head = backbone, neck, head
        self.requires_grad_(False)
        super().train(False)

    def train(self, mode: bool = True) -> 'Teacher':
        """Stay in evaluation mode: no drop path."""
        return super().train(False)

    def init_weights(self) -> None:
        """Nothing: the student's weights are copied in afterwards."""


class DenseSelfSupervisor(BaseSelfSupervisor):
    """Base of models whose student matches an EMA teacher where crops of one image overlap.

    A batch is ``dict(crops=[V tensors (B, 3, S, S), the T global ones first], gc_boxes=(B, T, V, 4), all_boxes=(B, V,
    T, 4))`` and optionally ``flipped=(B, V)`` bool; see `CropPairs`. Subclasses implement `loss`. The teacher is moved
    and the prototypes are normalised by `EMATeacherHook`, so that the loss has no side effect.

    Args:
        backbone (dict): A dense backbone with `forward_dense`, such as DenseViT.
        neck (dict): The projection head, (..., D) to (..., C).
        head (dict): The method's head with `teacher_part`, `targets` and `loss`.
        use_teacher (bool): Whether there is a teacher; without one the student gives the targets. Defaults to True.
        teacher_init (str): Neck and head of the teacher at the start: 'copy' of the student's, or an 'independent' draw
            as published. The backbone is always a copy. Defaults to 'copy'.
        micro_batches (int): Compute the student in this many parts of the batch and recompute each in the backward
            pass: same result (but for drop path, which draws other blocks), activations of one part only. MMEngine's
            `accumulative_counts` instead equalises the assignments of every part by itself. Defaults to 1.
        data_preprocessor (dict, optional): Defaults to moving the batch to the model's device only.
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
        if teacher_init not in TEACHER_INITS:
            raise ValueError(f'teacher_init={teacher_init!r} is unknown; choose one of {TEACHER_INITS}')
        if micro_batches < 1:
            raise ValueError(f'micro_batches={micro_batches}: must be at least 1')
        super().__init__(
            backbone, neck, head, data_preprocessor=data_preprocessor or BaseDataPreprocessor(), init_cfg=init_cfg)
        self.teacher_init, self.micro_batches = teacher_init, micro_batches
        self.teacher = None
        if use_teacher:
            self.teacher = Teacher(
                copy.deepcopy(self.backbone), self._fresh_neck(neck), self.head.teacher_part())
            self.reset_teacher()
        self._register_load_state_dict_pre_hook(self._complete_teacher)

    def _fresh_neck(self, neck: dict | nn.Module) -> nn.Module:
        from mmpretrain.registry import MODELS
        return copy.deepcopy(neck) if isinstance(neck, nn.Module) else MODELS.build(neck)

    def init_weights(self) -> None:
        """Initialise the student, then the teacher from it."""
        super().init_weights()
        self.reset_teacher()

    @torch.no_grad()
    def reset_teacher(self) -> None:
        """Copy the student into the teacher (with teacher_init='independent' its backbone only)."""
        if self.teacher is None:
            return
        self.teacher.backbone.load_state_dict(self.backbone.state_dict())
        if self.teacher_init == 'copy':
            for teacher, student in zip(*self.teacher_student_pairs(), strict=True):
                teacher.copy_(student)

    def teacher_student_pairs(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Parameters of the teacher and those of the student that they follow."""
        if self.teacher is None:
            return [], []
        student = dict(self.named_parameters())
        named = dict(self.teacher.named_parameters())
        return list(named.values()), [student[name] for name in named]

    def _complete_teacher(self, state_dict: dict, prefix: str, *args) -> None:
        """A checkpoint without a teacher (a released student) gives its student to the teacher too."""
        if self.teacher is None or any(key.startswith(f'{prefix}teacher.') for key in state_dict):
            return
        # All keys of backbone and neck, whatever their layout: the backbone converts foreign ones when it loads them.
        shared = {prefix + key for key in self.teacher.head.state_dict(prefix='head.')}
        for key in list(state_dict):
            if key in shared or key.startswith((f'{prefix}backbone.', f'{prefix}neck.')):
                state_dict[f'{prefix}teacher.{key[len(prefix):]}'] = state_dict[key].clone()

    def before_step(self) -> None:
        """Scale the prototypes of student and teacher to unit length; a hook calls it before every forward pass."""
        self.head.normalize_()
        if self.teacher is not None:
            for module in self.teacher.head.children():
                module.normalize_()

    def after_step(self) -> None:
        """What a step changes beside the parameters; a hook calls it after every iteration."""
        self.head.after_step()

    def crop_pairs(self, inputs: dict) -> CropPairs:
        """The crop pairs of a batch."""
        gc_boxes, all_boxes = inputs['gc_boxes'], inputs['all_boxes']
        if getattr(self.backbone, 'size_mode', 'pad') == 'resize':
            # The image was stretched to whole patches, and its boxes with it.
            sides = [(crop.shape[-1], crop.shape[-2]) * 2 for crop in inputs['crops']]
            patch = self.backbone.patch_size
            stretch = gc_boxes.new_tensor([[-(-side // patch) * patch / side for side in one] for one in sides])
            gc_boxes = gc_boxes * stretch[:gc_boxes.shape[1], None]
            all_boxes = all_boxes * stretch[:, None]
        return CropPairs(gc_boxes, all_boxes, self.backbone.patch_size, self.head.kernel, inputs.get('flipped'))

    @torch.no_grad()
    def teacher_output(self, crops: Sequence[Tensor], attention: bool = False) -> TeacherOutput:
        """Embeddings (and attention) of the T global crops, without gradient."""
        network = self if self.teacher is None else self.teacher
        features = network.backbone.forward_dense(torch.cat(list(crops)), cls_attention=attention)
        embeddings = network.neck(_tokens(features.maps[-1]))
        heads = features.cls_attention
        return TeacherOutput(
            embeddings.unflatten(0, (len(crops), -1)), features.grid,
            heads.float().mean(1).unflatten(0, (len(crops), -1)) if attention else None)

    def student_losses(self, crops: Sequence[Tensor], pairs: CropPairs, targets: Any) -> tuple[Tensor, Tensor]:
        """What the head's loss gives for the student, summed over `micro_batches` parts of the batch."""
        losses, numbers = 0., 0.
        size = -(-pairs.batch // self.micro_batches)
        for start in range(0, pairs.batch, size):
            stop = min(start + size, pairs.batch)
            part = [crop[start:stop] for crop in crops], pairs.images(start, stop), targets.images(start, stop)
            if self.micro_batches > 1 and torch.is_grad_enabled():
                of_part = recompute(self._losses_of_part, *part, use_reentrant=False)
            else:
                of_part = self._losses_of_part(*part)
            losses, numbers = losses + of_part[0], numbers + of_part[1]
        return losses, numbers

    def _losses_of_part(self, crops: Sequence[Tensor], pairs: CropPairs, targets: Any) -> tuple[Tensor, Tensor]:
        return self.head.loss(self.student_aligned(crops, pairs, targets.weights), targets)

    def student_aligned(self, crops: Sequence[Tensor], pairs: CropPairs, weights: Tensor | None = None) -> Tensor:
        """Student embeddings of all crops, cut out where the pairs overlap: (P, B, k·k, C).

        The neck works token by token, so it gets only the tokens that some cell looks at; cells of weight 0 in
        `weights` (P, B, k·k), whose loss does not count, come out as zeros.
        """
        tokens, grids = self._student_tokens(crops)
        matrices = [pairs.student_matrix(v, grid, weights) for v, grid in enumerate(grids)]
        sizes = [tuple(one.shape[:2]) for one in tokens]
        flat = torch.cat([one.flatten(0, 1) for one in tokens])
        if torch.compiler.is_compiling():  # the number of touched tokens is not known in advance
            embeddings = self.neck(flat)
        else:
            touched = torch.cat([(matrix.amax(1) > 0).flatten() for matrix in matrices]).nonzero()[:, 0]
            some = self.neck(flat[touched])
            embeddings = some.new_zeros(len(flat), some.shape[1]).index_copy(0, touched, some)
        return pairs.align_student(_maps(embeddings, sizes, pairs.batch), matrices)

    def student_maps(self, crops: Sequence[Tensor]) -> tuple[list[Tensor], list[tuple[int, int]]]:
        """Student embeddings (B, h·w, C) of all tokens of every crop, and the grids (h, w)."""
        tokens, grids = self._student_tokens(crops)
        sizes = [tuple(one.shape[:2]) for one in tokens]
        return _maps(self.neck(torch.cat([one.flatten(0, 1) for one in tokens])), sizes, len(crops[0])), grids

    def _student_tokens(self, crops: Sequence[Tensor]) -> tuple[list[Tensor], list[tuple[int, int]]]:
        """Tokens (m·B, h·w, D) of m crops of equal size at a time, which are one forward pass; the grid of each."""
        tokens, grids = [], []
        for _, group in itertools.groupby(crops, key=lambda crop: crop.shape[-2:]):
            images = list(group)
            features = self.backbone.forward_dense(torch.cat(images))
            tokens.append(_tokens(features.maps[-1]))
            grids += [features.grid] * len(images)
        return tokens, grids


def _tokens(feature_map: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, h·w, C)."""
    return feature_map.flatten(2).transpose(1, 2)


def _maps(embeddings: Tensor, sizes: list[tuple[int, int]], batch: int) -> list[Tensor]:
    """Embeddings of all tokens, cut into groups of (images, h·w), and these into maps (batch, h·w, C) of the crops."""
    parts = embeddings.split([images * cells for images, cells in sizes])
    return [one for part, size in zip(parts, sizes, strict=True) for one in part.unflatten(0, size).split(batch)]
