"""FittableSegmentor: a backbone, a head fitted without gradients, and post-processors."""

import uuid
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmseg.models.segmentors import BaseSegmentor
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.base import GRID, PIXEL
from leopart_mm.models.fitting.black_image import black_image
from leopart_mm.models.fitting.chain import HEAD, StageChain
from leopart_mm.models.fitting.debias import PositionDebias
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.networks import extents_on_grid, padding_of
from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.models.fitting.stage_stream import StageStream
from leopart_mm.models.fitting.stream import FeatureStream
from leopart_mm.models.segmentors.smooth import smooth_prediction
from leopart_mm.models.segmentors.stage_maps import StageMaps, grid_stage_maps
from leopart_mm.registry import MODELS

SEGMENTS = ('blocks', 'smooth')


class FittableSegmentor(BaseSegmentor):
    """Base of the segmentors that are fitted on a stream of features. A subclass writes predictions into data samples.

    A subclass may be trained too: it then defines `loss`, and `fit` what is fitted besides, if anything.

    Args:
        backbone: Config of a backbone, or a built one (evaluation during training shares the trained network).
        decode_head: Config of a FittableHead.
        neck: Config of a neck between both, or None.
        postprocessors: The stages after the head: name -> config, see StageChain.
        stage_order: Names of the stages in the order in which they run; None: as in `postprocessors`.
        train_cfg: Unused; mmseg's configs may have it.
        test_cfg: Unused; mmseg's configs may have it.
        data_preprocessor: Config of the data preprocessor, or a built one.
        init_cfg: MMEngine's initialisation config.
        segments: How labels of the patch grid come to pixels: 'blocks' (default): from the nearest cell, as in
            published numbers; 'smooth': from smoothed, bilinearly up-sampled features, see `smooth_prediction`. Scores
            are up-sampled bilinearly in any case, with 'smooth' after the same smoothing.

    Attributes:
        predicts_classes: Whether labels are the classes of the data set that it is fitted on, not clusters.
        fit_id: Changes whenever the fitted values do; tells whether predictions in a FeatureBatch are still valid.
    """

    predicts_classes: ClassVar[bool] = False

    def __init__(self,
                 backbone: dict | nn.Module,
                 decode_head: dict,
                 neck: dict | None = None,
                 postprocessors: Mapping[str, Any] | Sequence[Any] = (),
                 train_cfg: dict | None = None,
                 test_cfg: dict | None = None,
                 data_preprocessor: dict | nn.Module | None = None,
                 init_cfg: dict | list | None = None,
                 stage_order: Sequence[str] | None = None,
                 segments: str = 'blocks') -> None:
        if segments not in SEGMENTS:
            raise ValueError(f'segments={segments!r} is unknown; known are: {", ".join(SEGMENTS)}.')
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = backbone if isinstance(backbone, nn.Module) else MODELS.build(backbone)
        if neck is not None:
            self.neck = MODELS.build(neck)
        self.decode_head = MODELS.build(decode_head)
        if self.debias is not None:
            self.debias.black_map = self.black_map
        self.postprocessors = StageChain(postprocessors, stage_order)
        self.train_cfg = train_cfg
        self.test_cfg = test_cfg
        self.segments = segments
        self.fit_id = uuid.uuid4().hex
        if self.postprocessors.requests(fitting=True).reduced and not self.decode_head.can_reduce:
            self.decode_head.reduce(())  # raises

    def init_weights(self) -> None:
        """Initialise all parts, and check that a neck which was trained on another backbone's features is refused."""
        super().init_weights()
        if hasattr(getattr(self, 'neck', None), 'check_backbone'):
            self.neck.check_backbone(self.backbone)

    @property
    def debias(self) -> PositionDebias | None:
        """What takes position out of the head's features."""
        return getattr(self.decode_head, 'debias', None)

    @property
    def is_fitted(self) -> bool:
        """Whether head and post-processors can predict."""
        return self.decode_head.is_fitted and self.postprocessors.is_fitted

    @property
    def num_labels(self) -> int:
        """Number of labels in the predicted maps."""
        return self.labels_after(None)

    def labels_after(self, name: str | None) -> int:
        """Number of labels after the stage `name` ('head': after the head); None: after all stages."""
        names = [HEAD, *self.postprocessors]
        numbers = [self.decode_head.num_clusters, *(stage.num_labels for stage in self.postprocessors.values())]
        until = len(names) if name is None else names.index(name) + 1
        return [number for number in numbers[:until] if number is not None][-1]

    @property
    def runs_in_step(self) -> bool:
        """Whether all processes must predict the same number of batches, since they wait for each other."""
        return False

    def gathered_state_dict(self) -> dict[str, Tensor] | None:
        """`state_dict` with what all processes hold, on the main one; elsewhere it may be None. A collective call."""
        return self.state_dict()

    def requests(self, fitting: bool = False, pictures: bool = False) -> Requests:
        """What batches must hold beside the maps: to fit the whole chain, or to predict (with pictures)."""
        return self.postprocessors.requests(fitting, pictures)

    @torch.no_grad()
    def fit(self, stream: Iterable[FeatureBatch]) -> None:
        """Fit the head, then each post-processor on what comes before it.

        Args:
            stream: Batches that hold what `requests(fitting=True)` asks for; can be read several times, e.g. a
                FeatureStream of this model. What a stage makes of a batch is left in it, so that a stream which gives
                the same batches again saves the stages after it that work.
        """
        self.decode_head.reset()
        self.postprocessors.reset()
        self.fit_id = uuid.uuid4().hex
        if isinstance(stream, FeatureStream):
            stream.serve(self)
        self.fit_head(stream)
        for name, stage in self.postprocessors.items():
            stage.fit(StageStream(self, stream, name))

    def extract_dense(self, inputs: Tensor, requests: Requests | None = None) -> DenseFeatures:
        """Dense features of images (B, C, H, W): maps after the neck, and what `requests` ask of the backbone.

        Raises:
            TypeError: If attention, queries, keys or values are requested of a backbone without `forward_dense`.
        """
        requests = self.requests(fitting=not self.is_fitted) if requests is None else requests
        if hasattr(self.backbone, 'forward_dense'):
            features = self.backbone.forward_dense(inputs, **requests.of_attention)
        elif requests.of_attention:
            raise TypeError(f'A post-processor needs attention, queries, keys or values, which '
                            f"{type(self.backbone).__name__} does not give: use "
                            "backbone=dict(type='leopart_mm.DenseViT').")
        else:
            maps = tuple(self.backbone(inputs))
            features = DenseFeatures(maps=maps, grid=tuple(maps[self.decode_head.in_index].shape[-2:]))
        if self.with_neck:
            features.maps = tuple(self.neck(features.maps))
        return features

    def extract_batch(self, inputs: Tensor, data_samples: Sequence[SegDataSample] | None,
                      requests: Requests | None = None) -> FeatureBatch:
        """Features of a batch with names and extents of its images.

        Args:
            inputs: (B, C, H, W), normalised.
            data_samples: B of them, or None.
            requests: What the batch must hold beside the maps; None: what an unfitted model needs to be fitted, a
                fitted one to predict.
        """
        requests = self.requests(fitting=not self.is_fitted) if requests is None else requests
        features = self.extract_dense(inputs, requests)
        metas = [{}] * len(inputs) if data_samples is None else [sample.metainfo for sample in data_samples]
        size = tuple(inputs.shape[-2:])
        return FeatureBatch(
            features=features,
            data_samples=data_samples,
            names=[str(meta.get('img_path', '')) for meta in metas],
            extents=extents_on_grid(self.backbone, size, features.grid, metas),
            inputs=inputs if requests.images else None,
            input_size=size,
            others={network: network(inputs, asked) for network, asked in requests.networks})

    def run_stages(self, batch: FeatureBatch, before: str | None = None) -> Prediction:
        """The prediction on the grid after the head and the stages before the stage `before` (None: all).

        What the batch holds of this fit is not computed again; what is computed is left in it.
        """
        if batch.fit_id != self.fit_id:
            batch.fit_id, batch.predictions, batch.features.reduced = self.fit_id, {}, None
        found = batch.predictions
        stages = {HEAD: None, **{name: stage for name, stage in self.postprocessors.before(before).items()
                                 if stage.level == GRID}}
        if self.decode_head.can_reduce and batch.features.reduced is None:
            batch.features.reduced = self.decode_head.reduce(batch.features.maps)
        known = [name for name in stages if name in found]
        if not known:
            found[HEAD] = self.predict_head(batch)
            known = [HEAD]
        latest = found[known[-1]]
        for name in list(stages)[list(stages).index(known[-1]) + 1:]:
            latest = found[name] = stages[name](latest, batch)
        return latest

    def fit_head(self, stream: Iterable[FeatureBatch]) -> None:
        """Fit the head, after what takes position out of its features."""
        if self.debias is not None:
            self.debias.reset()
            self.debias.fit(stream, self.decode_head.in_index)
        self.decode_head.fit(stream)
        if self.debias is not None:
            self.debias.finish()

    @torch.no_grad()
    def black_map(self, grid: tuple[int, int]) -> Tensor:
        """The map (C, h, w) that the head reads of a black image of h x w patches.

        Raises:
            ValueError: If the backbone has no patches.
        """
        patch_size = getattr(self.backbone, 'patch_size', None)
        if patch_size is None:
            raise ValueError(f'{type(self.debias).__name__} needs a backbone of patches, but '
                             f"{type(self.backbone).__name__} names no patch_size: use backbone=dict(type="
                             "'leopart_mm.DenseViT').")
        image = black_image(self.data_preprocessor, patch_size, grid).to(next(self.backbone.parameters()).device)
        return self.extract_dense(image, Requests()).maps[self.decode_head.in_index][0]

    def predict_head(self, batch: FeatureBatch) -> Prediction:
        """The prediction of the head."""
        return self.decode_head.predict(batch)

    def run_pixel_stages(self, batch: FeatureBatch, index: int, before: str | None = None) -> FeatureBatch:
        """Image `index` by itself at the size of its pixels, with the predictions of the stages at that level.

        The size is the metainfo ``ori_shape``, else that of the network's input. `prediction` of the result begins with
        that of the grid, brought to pixels; `inputs`, if the batch has them, is the image at that size, 0..255 as the
        data preprocessor took it (RGB, where it converts to that).
        """
        latest = self.run_stages(batch)
        size = pixel_size(batch, index)
        single = replace(batch.select(slice(index, index + 1)), inputs=self._image(batch, index, size))
        single.predictions = {GRID: smooth_prediction(self, batch, index, size) if self.segments == 'smooth' else
                              latest.to_pixels(index, size)}
        for name, stage in self.postprocessors.before(before).items():
            if stage.level == PIXEL:
                single.predictions[name] = stage(single.prediction, single)
        return single

    def _image(self, batch: FeatureBatch, index: int, size: tuple[int, int]) -> Tensor | None:
        """(1, C, H, W) float: the image without padding and normalisation, at `size`."""
        if batch.inputs is None:
            return None
        image = batch.inputs[index].float()
        height, width = image.shape[-2:]
        left, right, top, bottom = padding_of({} if batch.data_samples is None else batch.data_samples[index].metainfo)
        image = image[:, top:height - bottom, left:width - right]
        if getattr(self.data_preprocessor, '_enable_normalize', False):
            image = image * self.data_preprocessor.std + self.data_preprocessor.mean
        return F.interpolate(image[None], size, mode='bilinear', align_corners=False, antialias=True)

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None,
                pictures: bool = False) -> list[SegDataSample]:
        """Predict images (B, C, H, W); the fields written are in the description of the class.

        Args:
            inputs: Images, normalised.
            data_samples: B of them, or None.
            pictures: Also write metainfo ``stages``: name -> dict(title, labels, extent, num_labels, background) of the
                maps that every stage gave, in order: labels (h, w) int64 on the CPU, of the first seed, without
                padding; `background` is the label that is no object, or None.

        Raises:
            NotFittedError: If nothing was fitted or loaded.
            NotImplementedError: If an image was flipped (test-time augmentation of label maps has no meaning).
        """
        if data_samples is None:
            data_samples = [SegDataSample() for _ in inputs]
        batch = self.extract_batch(inputs, data_samples, self.requests(pictures=pictures))
        return self.predict_batch(batch, pictures)

    @torch.no_grad()
    def predict_batch(self, batch: FeatureBatch, pictures: bool = False) -> list[SegDataSample]:
        """`predict` from features that were extracted before, into the batch's data samples."""
        prediction = self.run_stages(batch)
        drawn = grid_stage_maps(self.postprocessors, batch) if pictures else {}
        at_pixels = self.postprocessors.at_level(PIXEL)
        for index, sample in enumerate(batch.data_samples):
            if sample.metainfo.get('flip'):
                raise NotImplementedError(f'{type(self).__name__} cannot predict flipped images: remove RandomFlip (or '
                                          '--tta) from the test pipeline.')
            single = self.run_pixel_stages(batch, index) if at_pixels or self.segments == 'smooth' else None
            if single is None:
                self.write(sample, prediction, index, pixel_size(batch, index))
            else:
                self.write(sample, single.prediction, 0, pixel_size(batch, index))
            if pictures:
                stages = {name: maps.of_image(index) for name, maps in drawn.items()}
                if self.segments == 'smooth':  # the last one as it was written
                    name, maps = list(drawn.items())[-1]
                    stages[name] = replace(maps, prediction=single.predictions[GRID]).of_image(0)
                for name, stage in at_pixels.items():
                    maps = StageMaps(self.postprocessors.title_of(name), single.predictions[name], stage.background)
                    stages[name] = maps.of_image(0)
                sample.set_metainfo(dict(stages=stages))
        return batch.data_samples

    @abstractmethod
    def write(self, sample: SegDataSample, prediction: Prediction, index: int, size: tuple[int, int]) -> None:
        """Write what is predicted of image `index` into its data sample; (H, W) is the size of its pixels."""

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """The maps that the head reads."""
        return self.extract_dense(inputs, Requests()).maps

    def encode_decode(self, inputs: Tensor, batch_data_samples: Any = None) -> Tensor:
        """The head's scores (B, K, h, w) of the first seed on its grid."""
        return self.scores_of(self.extract_feat(inputs))

    def scores_of(self, maps: Sequence[Tensor]) -> Tensor:
        """The scores of `encode_decode` from the maps that the head reads."""
        return self.decode_head(maps)

    def _forward(self, inputs: Tensor, data_samples: Any = None) -> Tensor:
        """`encode_decode`, as mode 'tensor'."""
        return self.encode_decode(inputs, data_samples)

    def _load_from_state_dict(self, *args: Any) -> None:
        """Predictions made before are those of another model."""
        super()._load_from_state_dict(*args)
        self.fit_id = uuid.uuid4().hex


def pixel_size(batch: FeatureBatch, index: int) -> tuple[int, int]:
    """(H, W) of image `index`: its metainfo ``ori_shape``, else the size of the network's input."""
    meta = {} if batch.data_samples is None else batch.data_samples[index].metainfo
    return tuple(meta.get('ori_shape', batch.input_size)[:2])
