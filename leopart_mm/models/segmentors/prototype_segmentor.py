"""PrototypeSegmentor: two sets of class prototypes on frozen features, trained by k-means or PriMaPs-EM."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from leopart_mm.clustering.moments import Moments
from leopart_mm.clustering.pca import principal_directions
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.backbones.image_size import fit_to_patches
from leopart_mm.models.decode_heads.prototype_head import LinearProbe
from leopart_mm.models.fitting.base import GRID, PIXEL
from leopart_mm.models.fitting.cache import ImageCache
from leopart_mm.models.fitting.chain import StageChain
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.feature_cache import image_digest
from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.models.fitting.processes import broadcast_result, gather_parts
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.models.losses.class_focal import pixel_cross_entropy
from leopart_mm.models.losses.shares import check_divisor
from leopart_mm.models.segmentors.base import FittableSegmentor, pixel_size
from leopart_mm.models.segmentors.prototype_objectives import PrototypeObjective, to_pixels
from leopart_mm.models.selfsup.student_teacher import StudentTeacher
from leopart_mm.registry import MODELS

VARIANTS = ('momentum', 'running')


@MODELS.register_module()
class PrototypeSegmentor(StudentTeacher, FittableSegmentor):
    """PriMaPs-EM and its baseline (docs/methods/primaps.md §7 to §10): prototypes of K classes on frozen features.

    `decode_head` holds the running prototypes, which are trained; `teacher.decode_head` the momentum prototypes, which
    follow them and decide what is predicted. `PrototypeHook` initialises both and moves the momentum set; the backbone
    and the neck get no gradient, stay in evaluation mode, and see every image a single time per view.

    `predict` writes into every data sample, at the size ``ori_shape``: ``pred_momentum``, ``pred_running`` and, with a
    linear probe, ``pred_linear``, PixelData (1, H, W) int64; with a stage at pixel level also what it makes of the
    first two, ``pred_momentum_<stage>`` and ``pred_running_<stage>``; ``pred_sem_seg``, that of the momentum
    prototypes after all stages; and metainfo ``num_clusters`` and, of the probe, ``num_labels``.

    Args:
        backbone: Config of a backbone.
        decode_head: Config of a PrototypeHead; its width follows neck and backbone.
        objective: Config of a PrototypeObjective: CosineKMeans or PrototypeEM.
        neck: Config of a frozen neck such as CodeHead, or None.
        linear_probe: dict(num_classes=...) for a linear probe that is trained beside, for reporting; None: none.
        probe_divisor: 'labelled', or 'all' as published: by which pixels the probe's loss is divided.
        student_augmentation: Config of a StudentAugmentation; None: running prototypes see the clean images.
        cache: Where features of clean training images wait, see `ImageCache`; None: each step computes them.
        postprocessors, stage_order: As in FittableSegmentor.
        test_cfg: dict(flip=True) averages the features of an image and of its mirror image in tests; not in validation
            during training.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(self,
                 backbone: dict | nn.Module,
                 decode_head: dict,
                 objective: dict,
                 neck: dict | None = None,
                 linear_probe: dict | None = None,
                 probe_divisor: str = 'labelled',
                 student_augmentation: dict | None = None,
                 cache: str | Mapping | None = None,
                 postprocessors: Mapping[str, Any] | Sequence[Any] = (),
                 train_cfg: dict | None = None,
                 test_cfg: dict | None = None,
                 data_preprocessor: dict | nn.Module | None = None,
                 init_cfg: dict | list | None = None,
                 stage_order: Sequence[str] | None = None) -> None:
        check_divisor(probe_divisor)
        backbone = backbone if isinstance(backbone, nn.Module) else MODELS.build(backbone)
        neck = neck if neck is None or isinstance(neck, nn.Module) else MODELS.build(neck)
        width = _width(backbone, neck)
        head = {'in_channels': width, **decode_head}
        super().__init__(backbone, head, None, postprocessors, train_cfg, test_cfg, data_preprocessor, init_cfg,
                         stage_order)
        if neck is not None:
            self.neck = neck
        self.backbone.requires_grad_(False)
        if self.with_neck:
            self.neck.requires_grad_(False)
        self.linear_probe = None if linear_probe is None else LinearProbe(**{'in_channels': width, **linear_probe})
        self.probe_divisor = probe_divisor
        self.objective: PrototypeObjective = MODELS.build(objective)
        self.objective.prepare(self.decode_head)
        self.student_augmentation = None if student_augmentation is None else MODELS.build(student_augmentation)
        self.cache = ImageCache(**cache) if isinstance(cache, Mapping) else ImageCache(cache)
        self.register_buffer('ema_updates', torch.zeros((), dtype=torch.int64))
        self.mirrors = bool((test_cfg or {}).get('flip', False))
        self.add_teacher(decode_head=MODELS.build(head))
        self.reset_teacher()
        self._register_load_state_dict_pre_hook(PrototypeSegmentor._complete_counter, with_module=True)

    def train(self, mode: bool = True) -> 'PrototypeSegmentor':
        """Switch the mode of what is trained; backbone and neck stay in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        if self.with_neck:
            self.neck.eval()
        return self

    @property
    def is_fitted(self) -> bool:
        """Whether prototypes were initialised, trained or loaded, and all stages are fitted."""
        return self.decode_head.is_fitted and self.postprocessors.is_fitted

    # --- prototypes -------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def initialise(self, maps: Iterable[Tensor]) -> None:
        """Start both sets of prototypes at the leading principal directions of all cells (§7).

        Moments are summed over images and processes, so memory is C x C and the number of processes does not matter.
        Signs: the entry of largest size is positive.

        Args:
            maps: Features (B, C, h, w), those of this process.

        Raises:
            ValueError: If there is no cell, a feature is not finite, or there are fewer channels than prototypes.
        """

        def read() -> dict:
            moments = Moments()
            for features in maps:
                moments.update(features.movedim(1, -1).flatten(0, -2))
            return moments.state()

        def solve() -> Tensor:
            moments = Moments.merged(parts)
            number, channels = self.decode_head.num_clusters, 0 if moments.mean is None else len(moments.mean)
            if 0 < channels < number:
                raise ValueError(f'{number} prototypes cannot start at principal directions of {channels} channels: '
                                 'take fewer prototypes or PrototypeHook(init=None).')
            return principal_directions(moments.covariance(), number)[0].float()

        parts = gather_parts(read)
        self._start_at(broadcast_result(solve))

    def _start_at(self, directions: Tensor) -> None:
        self.decode_head.set_prototypes(directions.to(self.decode_head.weight_v.device))
        self.reset_teacher()

    @torch.no_grad()
    def reset_teacher(self) -> None:
        """Copy the running prototypes into the momentum prototypes."""
        super().reset_teacher()
        self.teacher.decode_head.fitted.copy_(self.decode_head.fitted)

    def fit_head(self, stream: Iterable[FeatureBatch]) -> None:
        """Initialise the prototypes by PCA of a stream: what a test of a model that was not trained scores."""
        self.initialise(_cells(stream, self.decode_head.in_index))

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Let the momentum prototypes follow after step `step`, counted from 0 over the whole run.

        Gains and directions are averaged separately (§8).
        """
        decay = self.objective.momentum_of(step, int(self.ema_updates))
        if decay is not None:
            teacher, student = self.teacher_student_pairs()
            if decay == 0:
                torch._foreach_copy_(teacher, student)
            else:
                torch._foreach_lerp_(teacher, student, 1 - decay)
            self.ema_updates += 1
        self.decode_head.fitted.fill_(True)
        self.teacher.decode_head.fitted.fill_(True)

    # --- training ---------------------------------------------------------------------------------------------------

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses of a batch of normalised images (B, 3, S, S), and numbers for the log without gradient.

        The data samples hold `proposals` where the objective needs them, and `gt_sem_seg` for the linear probe; without
        labels the probe is not trained.

        Raises:
            ValueError: If proposals are missing.
        """
        features = self.clean_features(inputs)
        student = features
        if self.student_augmentation is not None and self.objective.has_student_view:
            student = self.features(self._student_view(inputs, data_samples))
        return self.losses(features, student, self._proposals(data_samples), _labels(data_samples))

    def losses(self, features: Tensor, student: Tensor, proposals: Tensor | None,
               labels: Tensor | None) -> dict[str, Tensor]:
        """Losses from features (B, C, h, w) of clean and changed images, proposals and labels (B, H, W)."""
        loss, health = self.objective(self.decode_head, self.teacher.decode_head, features, student, proposals)
        losses = dict(loss_prototypes=loss, **health)
        if self.linear_probe is not None:
            logits = self.linear_probe(features)
            if labels is None:
                losses['loss_linear'] = logits.sum() * 0  # all processes have the same parameters with a gradient
            else:
                # ids beyond the classes are void
                labels = labels.masked_fill(labels >= logits.shape[1], 255)
                losses['loss_linear'] = pixel_cross_entropy(to_pixels(logits, labels.shape[-2:]), labels,
                                                            self.probe_divisor)
        return losses

    @torch.no_grad()
    def features(self, inputs: Tensor) -> Tensor:
        """(B, C, h, w) of images, not mirrored."""
        return super().extract_dense(inputs, Requests()).maps[self.decode_head.in_index].float()

    @torch.no_grad()
    def clean_features(self, inputs: Tensor) -> Tensor:
        """`features`, from the cache where it has them: an image and its mirror image are two of its entries.

        Codes of a neck with noise (CodeHead's `dropout`) are drawn anew in each step.
        """
        if self.cache.chosen is None or getattr(getattr(self, 'neck', None), 'is_noisy', False):
            return self.features(inputs)
        keys = [f'{image_digest(image)} {tuple(inputs.shape[-2:])}' for image in inputs]
        missing = [index for index, key in enumerate(keys) if not self.cache.has(key, ['map'])]
        computed = self.features(inputs[missing]) if missing else None
        if missing:
            self.cache.put([keys[index] for index in missing], dict(map=computed))
        position = {index: place for place, index in enumerate(missing)}
        return torch.stack([computed[position[index]] if index in position else
                            self.cache.get(key, 'map').to(inputs.device) for index, key in enumerate(keys)])

    def _student_view(self, inputs: Tensor, data_samples: Sequence[SegDataSample]) -> Tensor:
        draws = [sample.metainfo.get('student_draws') for sample in data_samples]
        draws = None if any(one is None for one in draws) else torch.stack([torch.as_tensor(one) for one in draws])
        if not getattr(self.data_preprocessor, '_enable_normalize', False):
            raise ValueError('student_augmentation needs the colours before normalisation: give data_preprocessor mean '
                             'and std.')
        return self.student_augmentation(inputs, self.data_preprocessor.mean, self.data_preprocessor.std, draws)

    def _proposals(self, data_samples: Sequence[SegDataSample]) -> Tensor | None:
        if not self.objective.needs_proposals:
            return None
        for sample in data_samples:
            if 'proposals' not in sample:
                raise ValueError(f'{sample.metainfo.get("img_path", "A training image")} has no mask proposals, which '
                                 f'{type(self.objective).__name__} needs: make them by tools/generate_masks.py, and '
                                 'put LoadProposals and PackProposals into the training pipeline.')
        return torch.stack([sample.proposals.data.squeeze(0) for sample in data_samples]).long()

    def health_findings(self, means: Mapping[str, float], settled: bool = True,
                        limits: Mapping[str, float] | None = None) -> list[str]:
        """What is wrong with the training, in words, for HealthHook."""
        return self.objective.findings(means)

    # --- prediction -------------------------------------------------------------------------------------------------

    def extract_dense(self, inputs: Tensor, requests: Requests | None = None) -> DenseFeatures:
        """As FittableSegmentor's; with test_cfg=dict(flip=True) the maps are means with the mirrored image (§10)."""
        features = super().extract_dense(inputs, requests)
        if self.mirrors and not self.training:
            patch = getattr(self.backbone, 'patch_size', None)
            mode = getattr(self.backbone, 'size_mode', 'resize')
            whole = inputs if patch is None else fit_to_patches(inputs, patch, mode)
            mirrored = super().extract_dense(whole.flip(-1), Requests()).maps
            features.maps = tuple((one + other.flip(-1)) / 2 for one, other in zip(features.maps, mirrored,
                                                                                   strict=True))
        return features

    def val_step(self, data: Any) -> list:
        """Predict without the mirror image and without stages at pixel level: validation during training (§10)."""
        mirrors, stages = self.mirrors, self.postprocessors
        self.mirrors, self.postprocessors = False, StageChain(stages.at_level(GRID))
        try:
            return super().val_step(data)
        finally:
            self.mirrors, self.postprocessors = mirrors, stages

    def predict_head(self, batch: FeatureBatch) -> Prediction:
        """Scores (2, B, K, h, w) of the momentum and the running prototypes.

        Where the momentum prototypes see unit features, their gains are 1, so that the products with raw features have
        the same largest one. Only a stage at pixel level, which looks at more than the largest, gets cosines with the
        features of each pixel, as published, and so scores at the size of the input.
        """
        self.decode_head.require_fitted()
        features = batch.features.maps[self.decode_head.in_index].float()
        scores = torch.stack([self.teacher.decode_head(features), self.decode_head(features)])
        if self.objective.unit_features and self.postprocessors.at_level(PIXEL) and batch.input_size is not None:
            norms = torch.stack([pixel_norms(one, batch.input_size) for one in features])
            scores = torch.stack([to_pixels(one, batch.input_size) for one in scores])
            scores[0] /= norms[:, None].clamp(min=1e-12)
        return Prediction(None, batch.extents_on(tuple(scores.shape[-2:])), self.decode_head.num_clusters, scores)

    @torch.no_grad()
    def predict_batch(self, batch: FeatureBatch, pictures: bool = False) -> list[SegDataSample]:
        """As FittableSegmentor's, with the fields of all classifiers."""
        grid = self.run_stages(batch)
        linear = None
        if self.linear_probe is not None:
            scores = self.linear_probe(batch.features.maps[self.decode_head.in_index])[None]
            linear = Prediction(None, batch.extents_on(tuple(scores.shape[-2:])), scores.shape[2], scores)
        for index, sample in enumerate(batch.data_samples):
            size = pixel_size(batch, index)
            if self.postprocessors.at_level(PIXEL):
                _put_variants(sample, grid, index, size)
            if linear is not None:
                _put(sample, 'pred_linear', linear.to_pixels(index, size))
                sample.set_metainfo(dict(num_labels=dict(pred_linear=linear.num_labels)))
        return super().predict_batch(batch, pictures)

    def write(self, sample: SegDataSample, prediction: Prediction, index: int, size: tuple[int, int]) -> None:
        """What the last stage made of both sets, `pred_sem_seg` among it, and the number of labels."""
        stages = list(self.postprocessors.at_level(PIXEL))
        _put_variants(sample, prediction, index, size, f'_{stages[-1]}' if stages else '')
        sample.set_metainfo(dict(num_clusters=prediction.num_labels))

    def scores_of(self, maps: Sequence[Tensor]) -> Tensor:
        """Scores (B, K, h, w) of the momentum prototypes on the patch grid."""
        return self.teacher.decode_head(maps[self.decode_head.in_index])

    def _complete_counter(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """Files of prototypes alone, such as published ones, hold no counter."""
        if any(key.startswith(f'{prefix}decode_head.') for key in state_dict):
            state_dict.setdefault(f'{prefix}ema_updates', torch.zeros((), dtype=torch.int64))


def pixel_norms(features: Tensor, size: tuple[int, int], channels: int = 64) -> Tensor:
    """(H, W): lengths of the features (C, h, w) after bilinear upsampling, which is never held for all channels."""
    return sum(to_pixels(part[None], size)[0].square().sum(0) for part in features.split(channels)).sqrt()


def _width(backbone: nn.Module, neck: nn.Module | None) -> int | None:
    """Number of channels of the features; None where a checkpoint will tell."""
    reads_weights = getattr(neck, 'reads_weights', True)
    return getattr(neck, 'out_channels', None) if neck is not None and reads_weights else backbone.embed_dims


def _cells(stream: Iterable[FeatureBatch], in_index: int) -> Iterable[Tensor]:
    """(1, C, rows, columns) of each image, without padding."""
    for batch in stream:
        maps = batch.features.maps[in_index]
        for index in range(len(batch)):
            rows, columns, _ = batch.content(index, tuple(maps.shape[-2:]))
            yield maps[index:index + 1, :, rows, columns]


def _labels(data_samples: Sequence[SegDataSample]) -> Tensor | None:
    if not all('gt_sem_seg' in sample for sample in data_samples):
        return None
    return torch.stack([sample.gt_sem_seg.data.squeeze(0) for sample in data_samples]).long()


def _put_variants(sample: SegDataSample, prediction: Prediction, index: int, size: tuple[int, int],
                  ending: str = '') -> None:
    for variant, name in enumerate(VARIANTS[:prediction.num_maps]):
        found = prediction.to_pixels(index, size, slice(variant, variant + 1))
        _put(sample, f'pred_{name}{ending}', found)
        if variant == 0:
            _put(sample, 'pred_sem_seg', found)


def _put(sample: SegDataSample, field: str, prediction: Prediction) -> None:
    sample.set_field(PixelData(data=prediction.hard_labels[0]), field)
