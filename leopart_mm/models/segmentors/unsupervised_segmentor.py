"""UnsupervisedSegmentor: backbone, a head fitted without gradients, post-processors; label maps out."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor, EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from leopart_mm.geometry.patch_grid import upsample_labels
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.feature_batch import Extent, FeatureBatch, image_extent
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.models.fitting.stage_stream import StageStream
from leopart_mm.models.fitting.stream import FeatureStream
from leopart_mm.registry import MODELS


@MODELS.register_module()
class UnsupervisedSegmentor(EncoderDecoder):
    """Groups dense features into label maps, without a label and without logits of full size.

    `predict` writes into every data sample:

    - ``pred_sem_seg`` PixelData (1, H, W) int64: the label map of the first seed at the size of the original image
      (metainfo ``ori_shape``), nearest, padding removed;
    - ``pred_clusters`` PixelData (S, h, w) int64: the label maps of all seeds on the patch grid. Cells that hold at
      least one pixel of the image are kept, cells of padding are cut away;
    - metainfo ``cluster_extent`` (top, bottom, left, right): where the image lies on that grid, in cells: what
      `upsample_labels` needs to bring the maps to any size exactly;
    - metainfo ``num_clusters``: ids are 0..num_clusters-1; and ``cluster_seeds``, one entry a seed;
    - with the attribute `keep_stages`: metainfo ``stages``, title -> what the stage gave (labels of the first seed,
      their extent and number), for pictures.

    Args:
        backbone: Config of a backbone, or a built one (evaluation during training shares the trained network).
        decode_head: A fittable head such as OverclusterHead.
        postprocessors: Stages after the head, applied (and fitted) in order, see BasePostprocessor.
        neck, test_cfg, data_preprocessor, init_cfg: As in EncoderDecoder.
    """

    def __init__(self,
                 backbone: dict | nn.Module,
                 decode_head: dict,
                 neck: dict | None = None,
                 postprocessors: Sequence[dict] = (),
                 train_cfg: dict | None = None,
                 test_cfg: dict | None = None,
                 data_preprocessor: dict | nn.Module | None = None,
                 init_cfg: dict | list | None = None) -> None:
        # EncoderDecoder's own constructor takes no built backbone.
        BaseSegmentor.__init__(self, data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = backbone if isinstance(backbone, nn.Module) else MODELS.build(backbone)
        if neck is not None:
            self.neck = MODELS.build(neck)
        self._init_decode_head(decode_head)
        self.postprocessors = nn.ModuleList(MODELS.build(stage) for stage in postprocessors)
        self.keep_stages = False  # hooks that draw every stage set it
        self.need_reduced = False  # what reads `features.reduced` from outside sets it
        self.train_cfg = train_cfg
        self.test_cfg = test_cfg

    @property
    def is_fitted(self) -> bool:
        """Whether head and post-processors can predict."""
        return self.decode_head.is_fitted and all(stage.is_fitted for stage in self.postprocessors)

    @property
    def num_labels(self) -> int:
        """Number of labels in the predicted maps."""
        return self.labels_after()

    def labels_after(self, stages: int | None = None) -> int:
        """Number of labels after the head and the first `stages` post-processors (None: all)."""
        numbers = [self.decode_head.num_clusters, *(stage.num_labels for stage in self.postprocessors[:stages])]
        return [number for number in numbers if number is not None][-1]

    def _any_needs(self, what: str) -> bool:
        return any(getattr(stage, f'needs_{what}') for stage in self.postprocessors)

    @torch.no_grad()
    def fit(self, stream: Iterable[FeatureBatch]) -> None:
        """Fit the head, then each post-processor on what comes before it.

        Args:
            stream: Can be read several times, e.g. a `FeatureStream` of this model.
        """
        if isinstance(stream, FeatureStream):
            stream.serve(self)
        for stage in self.postprocessors:
            stage.reset()
        self.decode_head.fit(stream)
        for index, stage in enumerate(self.postprocessors):
            stage.fit(StageStream(self, stream, index))

    def extract_dense(self, inputs: Tensor) -> DenseFeatures:
        """Dense features of images (B, C, H, W): maps after the neck, and attention where a stage needs it.

        Raises:
            TypeError: A stage needs attention, but the backbone has no `forward_dense`.
        """
        needs_attention = self._any_needs('attention')
        if hasattr(self.backbone, 'forward_dense'):
            features = self.backbone.forward_dense(inputs, cls_attention=needs_attention)
        elif needs_attention:
            raise TypeError(f'A post-processor needs class-token attention, which {type(self.backbone).__name__} does '
                            "not give: use backbone=dict(type='leopart_mm.DenseViT').")
        else:
            maps = tuple(self.backbone(inputs))
            features = DenseFeatures(maps=maps, grid=tuple(maps[self.decode_head.in_index].shape[-2:]))
        if self.with_neck:
            features.maps = tuple(self.neck(features.maps))
        return features

    def extract_batch(self, inputs: Tensor, data_samples: Sequence[SegDataSample] | None) -> FeatureBatch:
        """Features of a batch with names and extents of its images."""
        features = self.extract_dense(inputs)
        metas = [{}] * len(inputs) if data_samples is None else [sample.metainfo for sample in data_samples]
        return FeatureBatch(
            features=features,
            data_samples=data_samples,
            names=[str(meta.get('img_path', '')) for meta in metas],
            extents=[image_extent(meta, tuple(inputs.shape[-2:]), features.grid, self.backbone) for meta in metas],
            inputs=inputs if self._any_needs('inputs') else None,
            input_size=tuple(inputs.shape[-2:]))

    def requests(self) -> Requests:
        """What the stages need beside the maps."""
        return Requests(attention=self._any_needs('attention'), images=self._any_needs('inputs'))

    def label_batch(self, batch: FeatureBatch, stages: int | None = None,
                    record: dict[str, tuple[Tensor, int]] | None = None, start: int | None = None,
                    labels: Tensor | None = None) -> Tensor:
        """Label maps (S, B, h, w) after the head and the first `stages` post-processors (None: all).

        Args:
            batch: The images.
            stages: Number of post-processors.
            record: Filled with what each stage gave: title -> (maps (B, h, w) of the first seed, number of labels).
            start, labels: What the head and the first `start` post-processors gave, where that is known.
        """
        if start is None:
            labels = self._head_labels(batch)
        if record is not None:
            record['clusters'] = labels[0], self.decode_head.num_clusters
        for index, stage in list(enumerate(self.postprocessors[:stages]))[start or 0:]:
            labels = stage(labels, batch.features, batch.data_samples)
            if record is not None:
                record.update({title: (maps, int(maps.max()) + 1) for title, maps in stage.pictures(batch).items()})
                record[type(stage).__name__] = labels[0], self.labels_after(index + 1)
        return labels

    def _head_labels(self, batch: FeatureBatch) -> Tensor:
        """Labels of the head; also sets `features.reduced` where a stage needs it or it stands for the maps."""
        if not batch.features.maps[self.decode_head.in_index].shape[1]:
            return self.decode_head.label_reduced(batch.features.reduced)
        if self.need_reduced or self._any_needs('reduced') or (batch.cache_keys and len(self.postprocessors)
                                                               and hasattr(self.decode_head, 'reduce')):
            batch.features.reduced = self._reduce(batch)
            return self.decode_head.label_reduced(batch.features.reduced)
        return self.decode_head.predict_labels(batch.features.maps)

    def _reduce(self, batch: FeatureBatch) -> Tensor:
        if not hasattr(self.decode_head, 'reduce'):
            raise TypeError(f'A post-processor needs reduced features, which {type(self.decode_head).__name__} does '
                            "not give: use decode_head=dict(type='leopart_mm.OverclusterHead').")
        return self.decode_head.reduce(batch.features.maps)

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> list[SegDataSample]:
        """Label maps of images (B, C, H, W); the fields written are in the class's description.

        Raises:
            NotFittedError: Nothing was fitted or loaded.
            NotImplementedError: The images were flipped (test-time augmentation of label maps has no meaning).
        """
        if data_samples is None:
            data_samples = [SegDataSample() for _ in inputs]
        return self.predict_batch(self.extract_batch(inputs, data_samples))

    @torch.no_grad()
    def predict_batch(self, batch: FeatureBatch) -> list[SegDataSample]:
        """`predict` from features that are known."""
        data_samples = batch.data_samples
        record = {} if self.keep_stages else None
        labels = self.label_batch(batch, record=record)
        for index, sample in enumerate(data_samples):
            if sample.metainfo.get('flip'):
                raise NotImplementedError('UnsupervisedSegmentor cannot predict flipped images: remove RandomFlip (or '
                                          '--tta) from the test pipeline.')
            rows, columns, extent = batch.content(index, tuple(labels.shape[-2:]))
            self._write(sample, labels[:, index, rows, columns], extent, batch.input_size)
            if record is not None:
                sample.set_metainfo(dict(stages={title: self._stage_map(batch, index, maps, number)
                                                 for title, (maps, number) in record.items()}))
        return data_samples

    @staticmethod
    def _stage_map(batch: FeatureBatch, index: int, maps: Tensor, number: int) -> dict[str, Any]:
        rows, columns, extent = batch.content(index, tuple(maps.shape[-2:]))
        return dict(labels=maps[index, rows, columns].long().cpu(), extent=extent, num_labels=number)

    def _write(self, sample: SegDataSample, labels: Tensor, extent: Extent, input_size: tuple[int, int]) -> None:
        seeds = getattr(self.decode_head, 'seeds', ())
        sample.set_metainfo(
            dict(cluster_extent=extent, num_clusters=self.num_labels,
                 cluster_seeds=seeds if len(seeds) == len(labels) else tuple(range(len(labels)))))
        size = tuple(sample.metainfo.get('ori_shape', input_size)[:2])
        sample.pred_sem_seg = PixelData(data=upsample_labels(labels[:1], size, extent))
        sample.set_field(PixelData(data=labels), 'pred_clusters')

    def loss(self, inputs: Tensor, data_samples: Any) -> dict:
        """There is none.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError('UnsupervisedSegmentor has no loss: it is fitted without gradients (tools/test.py '
                                  'with test_cfg=dict(type="leopart_mm.FitTestLoop")). To fine-tune its backbone, '
                                  'train a model such as leopart_mm.Leopart.')
