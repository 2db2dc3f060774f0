"""A student that matches an EMA teacher where crops of an image overlap: what Leopart, NeCo and PaKA share."""

import copy
import inspect
import itertools
from collections.abc import Mapping, Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from mmpretrain.models.selfsup import BaseSelfSupervisor
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from leopart_mm.checkpoints.low_rank import merge_low_rank
from leopart_mm.devices import on_cpu, to_device
from leopart_mm.geometry.crop_pairs import CropPairs
from leopart_mm.models.backbones.low_rank import merge_adapters
from leopart_mm.models.losses.base import Targets, TeacherOutput
from leopart_mm.models.losses.old_heads import loss_config
from leopart_mm.models.losses.prototypes import Prototypes
from leopart_mm.models.selfsup.student_teacher import StudentTeacher

TEACHER_INITS = ('copy', 'independent')


class CropPairModel(StudentTeacher, BaseSelfSupervisor):
    """Base of models whose loss compares student and teacher where crops of an image overlap.

    A batch is ``dict(crops=[V tensors (B, 3, S, S), the T global ones first], gc_boxes=(B, T, V, 4), all_boxes=(B, V,
    T, 4))`` and optionally ``flipped=(B, V)`` bool; see `CropPairs`. A method is a loss (`SelfSupLoss`) and a subclass
    of this model, mostly an empty one. The loss has no side effects: `SelfSupStepHook` moves the teacher, normalises
    the prototypes and lets the model finish each iteration.

    Args:
        backbone (dict): A dense backbone with `forward_dense`, `embed_dims` and `patch_size`, such as DenseViT.
        neck (dict): The projection head, (..., D) to (..., C). `in_channels` defaults to the backbone's `embed_dims`.
        head (dict): The method's loss. `embed_dims` defaults to the neck's `out_channels`.
        use_teacher (bool): Whether there is a teacher; without one the student gives the targets. Defaults to True.
        teacher_init (str): Neck and head of the teacher at the start: 'copy' of the student's, or an 'independent' draw
            as published. The backbone is always a copy. Defaults to 'copy'.
        micro_batches (int): Number of parts of the batch in which the student is computed, each recomputed in the
            backward pass: same result (but for drop path, which draws other blocks), with only one part's activations
            in memory. MMEngine's `accumulative_counts` instead equalises the assignments within each part. Defaults to
            1.
        data_preprocessor (dict, optional): Defaults to moving the batch to the model's device only.

    Raises:
        ValueError: If `teacher_init` is unknown or `micro_batches` below 1.
    """

    def __init__(self,
                 backbone: dict | nn.Module,
                 neck: dict | nn.Module,
                 head: dict | nn.Module,
                 use_teacher: bool = True,
                 teacher_init: str = 'copy',
                 micro_batches: int = 1,
                 data_preprocessor: dict | nn.Module | None = None,
                 init_cfg: dict | list | None = None) -> None:
        if teacher_init not in TEACHER_INITS:
            raise ValueError(f'teacher_init={teacher_init!r} is unknown; choose one of {TEACHER_INITS}')
        if micro_batches < 1:
            raise ValueError(f'micro_batches={micro_batches}: must be at least 1')
        if isinstance(backbone, Mapping):
            backbone = MODELS.build(backbone)
        if isinstance(neck, Mapping):
            neck = _with_width(neck, 'in_channels', backbone, 'embed_dims')
        student_neck = MODELS.build(neck) if isinstance(neck, Mapping) else neck
        if isinstance(head, Mapping):
            head = _with_width(loss_config(head), 'embed_dims', student_neck, 'out_channels')
        super().__init__(
            backbone, student_neck, head, data_preprocessor=data_preprocessor or BaseDataPreprocessor(),
            init_cfg=init_cfg)
        self.teacher_init, self.micro_batches = teacher_init, micro_batches
        if use_teacher:
            # The teacher's neck is built, not copied, so that 'independent' has initial values of its own.
            teacher_neck = MODELS.build(neck) if isinstance(neck, Mapping) else copy.deepcopy(neck)
            self.add_teacher(
                backbone=merge_adapters(copy.deepcopy(self.backbone)), neck=teacher_neck, head=self.head.teacher_part())
            self.reset_teacher()

    def init_weights(self) -> None:
        """Initialise the student, then the teacher from it."""
        super().init_weights()
        self.reset_teacher()

    @torch.no_grad()
    def reset_teacher(self) -> None:
        """Copy the student into the teacher (with teacher_init='independent' its backbone only)."""
        if self.teacher is None:
            return
        self.teacher.backbone.load_state_dict(merge_low_rank(self.backbone.state_dict()))
        if self.teacher_init == 'copy':
            super().reset_teacher()

    def before_step(self) -> None:
        """Let the loss prepare its parameters, and scale the teacher's prototypes to unit length."""
        self.head.normalize_()
        for module in [] if self.teacher is None else self.teacher.modules():
            if isinstance(module, Prototypes):
                module.normalize_()

    def after_step(self) -> None:
        """What this step has staged in the loss takes effect."""
        self.head.after_step()

    @property
    def health_limits(self) -> Mapping[str, float]:
        """The thresholds of `health_findings` by name."""
        return self.head.health_limits

    @property
    def health_notes(self) -> Mapping[str, str]:
        """What the numbers of the log mean, by name."""
        return self.head.health_notes

    def health_findings(self,
                        means: Mapping[str, float],
                        settled: bool = True,
                        limits: Mapping[str, float] | None = None) -> list[str]:
        """What is wrong with the training, in words; see `SelfSupLoss.health_findings`."""
        return self.head.health_findings(means, settled, limits)

    def loss(self, inputs: dict, data_samples: list | None = None) -> dict[str, Tensor]:
        """The loss of a batch, and numbers that say without labels whether training is healthy (no gradient)."""
        crops, pairs = inputs['crops'], self.crop_pairs(inputs)
        teacher = self.teacher_output(crops[:pairs.num_global], self.head.needs_attention)
        targets = self.head.targets(teacher, pairs)
        loss, health = self.student_losses(crops, pairs, targets)
        return dict(loss=loss, **targets.health, **health)

    def crop_pairs(self, inputs: dict) -> CropPairs:
        """The crop pairs of a batch."""
        gc_boxes, all_boxes = inputs['gc_boxes'], inputs['all_boxes']
        if getattr(self.backbone, 'size_mode', 'pad') == 'resize':
            # The image was stretched to whole patches, and its boxes with it.
            sides = [(crop.shape[-1], crop.shape[-2]) * 2 for crop in inputs['crops']]
            patch = self.backbone.patch_size
            stretch = [[-(-side // patch) * patch / side for side in crop_sides] for crop_sides in sides]
            stretch = to_device(torch.tensor(stretch, dtype=gc_boxes.dtype), gc_boxes.device)
            gc_boxes = gc_boxes * stretch[:gc_boxes.shape[1], None]
            all_boxes = all_boxes * stretch[:, None]
        return CropPairs(gc_boxes, all_boxes, self.backbone.patch_size, self.head.kernel, inputs.get('flipped'))

    @torch.no_grad()
    def teacher_output(self, crops: Sequence[Tensor], attention: bool = False) -> TeacherOutput:
        """Embeddings (and attention) of the T global crops, without gradient.

        A teacher runs in inference mode, and what it gives is copied out of it, so that a loss may do with it whatever
        it does with tensors. A student that gives the targets itself runs without gradient only: autocast keeps the
        weights that it has cast for the pass with gradient that follows.
        """
        images = torch.cat(list(crops))
        if self.teacher is None or torch.compiler.is_compiling():
            network = self if self.teacher is None else self.teacher
            embeddings, per_head, grid = self._embeddings(network, images, attention)
        else:
            with torch.inference_mode():
                embeddings, per_head, grid = self._embeddings(self.teacher, images, attention)
            embeddings, per_head = embeddings.clone(), None if per_head is None else per_head.clone()
        return TeacherOutput(
            embeddings.unflatten(0, (len(crops), -1)), grid,
            None if per_head is None else per_head.float().mean(1).unflatten(0, (len(crops), -1)),
            None if self.teacher is None else self.teacher.head)

    @staticmethod
    def _embeddings(network: nn.Module, images: Tensor,
                    attention: bool) -> tuple[Tensor, Tensor | None, tuple[int, int]]:
        """The neck's output (N, h·w, C) of images, the class token's attention of each head if asked for, (h, w)."""
        features = network.backbone.forward_dense(images, cls_attention=attention)
        return network.neck(_tokens(features.maps[-1])), features.cls_attention if attention else None, features.grid

    def student_losses(self, crops: Sequence[Tensor], pairs: CropPairs,
                       targets: Targets) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and health numbers of the student, summed over `micro_batches` parts of the batch."""

        def of_part(crops: Sequence[Tensor], pairs: CropPairs, targets: Targets) -> tuple[Tensor, dict[str, Tensor]]:
            return self.head(self.student_aligned(crops, pairs, targets.weights), targets)

        results = []
        size = -(-pairs.batch // self.micro_batches)
        for start in range(0, pairs.batch, size):
            stop = min(start + size, pairs.batch)
            part = [crop[start:stop] for crop in crops], pairs.images(start, stop), targets.images(start, stop)
            if self.micro_batches > 1 and torch.is_grad_enabled():
                results.append(recompute(of_part, *part, use_reentrant=False))
            else:
                results.append(of_part(*part))
        losses, health = zip(*results, strict=True)
        return sum(losses), {name: sum(numbers[name] for numbers in health) for name in health[0]}

    def student_aligned(self, crops: Sequence[Tensor], pairs: CropPairs, weights: Tensor | None = None) -> Tensor:
        """Student embeddings of all crops, cut out where the pairs overlap: (P, B, k·k, C).

        Cells of weight 0 in `weights` (P, B, k·k), whose loss does not count, come out as zeros. The neck works token
        by token, so on a CPU it gets only the tokens that cells look at. For a ViT-S/16 without a mask that is 79 % of
        the tokens, and saves a fifth of the neck's time (2.18 to 1.75 s, 3 to 4 % of a step of batch 8 on one core); a
        mask leaves out more. A GPU projects all tokens: to find those that are looked at would wait for it.
        """
        tokens, grids = self._student_tokens(crops)
        matrices = [pairs.student_matrix(v, grid, weights) for v, grid in enumerate(grids)]
        sizes = [tuple(group.shape[:2]) for group in tokens]
        flat = torch.cat([group.flatten(0, 1) for group in tokens])
        if torch.compiler.is_compiling() or not on_cpu(flat):  # their number is not known in advance
            embeddings = self.neck(flat)
        else:
            touched = torch.cat([(matrix.amax(1) > 0).flatten() for matrix in matrices]).nonzero()[:, 0]
            projected = self.neck(flat[touched])
            embeddings = projected.new_zeros(len(flat), projected.shape[1]).index_copy(0, touched, projected)
        return pairs.align_student(_maps(embeddings, sizes, pairs.batch), matrices)

    def student_maps(self, crops: Sequence[Tensor]) -> tuple[list[Tensor], list[tuple[int, int]]]:
        """Student embeddings (B, h·w, C) of all tokens of every crop, and the grids (h, w)."""
        tokens, grids = self._student_tokens(crops)
        sizes = [tuple(group.shape[:2]) for group in tokens]
        return _maps(self.neck(torch.cat([group.flatten(0, 1) for group in tokens])), sizes, len(crops[0])), grids

    def _student_tokens(self, crops: Sequence[Tensor]) -> tuple[list[Tensor], list[tuple[int, int]]]:
        """Tokens (m·B, h·w, D) of m crops of equal size at a time, and the grid of each crop."""
        groups = [list(group) for _, group in itertools.groupby(crops, key=lambda crop: crop.shape[-2:])]
        images = [torch.cat(group) for group in groups]
        if hasattr(self.backbone, 'forward_sizes'):
            features = self.backbone.forward_sizes(images)
        else:
            features = [self.backbone.forward_dense(one) for one in images]
        grids = [one.grid for one, group in zip(features, groups, strict=True) for _ in group]
        return [_tokens(one.maps[-1]) for one in features], grids


def _tokens(feature_map: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, h·w, C)."""
    return feature_map.flatten(2).transpose(1, 2)


def _maps(embeddings: Tensor, sizes: list[tuple[int, int]], batch: int) -> list[Tensor]:
    """Embeddings of all tokens, cut into groups of (images, h·w), and these into maps (batch, h·w, C) of the crops."""
    groups = embeddings.split([images * cells for images, cells in sizes])
    return [crop for group, size in zip(groups, sizes, strict=True) for crop in group.unflatten(0, size).split(batch)]


def _with_width(cfg: Mapping, key: str, source: nn.Module, attribute: str) -> dict:
    """The config with the width `key` taken from a module, if its class takes one and the config leaves it out."""
    cfg = dict(cfg)
    with MODELS.switch_scope_and_registry(cfg.get('_scope_')) as registry:
        built = registry.get(cfg['type']) if isinstance(cfg['type'], str) else cfg['type']
    takes_it = built is not None and key in inspect.signature(built).parameters
    if key not in cfg and takes_it and hasattr(source, attribute):
        cfg[key] = getattr(source, attribute)
    return cfg
