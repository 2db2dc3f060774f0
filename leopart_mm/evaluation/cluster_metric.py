"""ClusterMetric: how well clusters cover classes, from one running contingency table per seed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from leopart_mm.clustering.matching import MatchingScores, published_cluster_classes
from leopart_mm.evaluation.cluster_scores import (
    check_matchings,
    cluster_table,
    label_table,
    mean_scores,
    score_tables,
)
from leopart_mm.evaluation.label_census import count_ignored, findings
from leopart_mm.evaluation.label_writer import LabelMapWriter
from leopart_mm.evaluation.report import class_table, explained, protocol
from leopart_mm.evaluation.running_table import RunningTable
from leopart_mm.late_checks import LateChecks
from leopart_mm.registry import METRICS


@METRICS.register_module()
class ClusterMetric(BaseMetric):
    """Unsupervised segmentation scores: clusters are matched to classes, then IoU (docs/methods/leopart.md §7).

    Reads ``pred_clusters`` (all seeds) of UnsupervisedSegmentor, or ``pred_sem_seg`` of any other model, or the `field`
    that it is told, and ``gt_sem_seg``. Memory is that of the tables (seeds x clusters x classes), whatever the number
    of images; on several processes the tables are summed, and an image that the sampler repeats counts once (see
    `RunningTable`).

    Results in percent, mean over seeds: ``mIoU`` (over all classes, absent ones 0: the published mean), ``mIoU_std``
    (population standard deviation over seeds), ``mIoU_occurring`` (over classes with ground truth),
    ``mIoU_defined`` (over classes in the ground truth or the prediction: the published mean of PriMaPs, STEGO and HP),
    ``aAcc`` (pixel accuracy), ``background_share`` (of clusters). The log says how many pixels are ignored and which
    classes are absent, as a warning where a score says little. With several matchings these are the first one's, and
    those of each are called ``<matching>/mIoU`` and so on.

    Args:
        matching: 'hungarian' (largest sum of IoUs), 'hungarian_pixels' (most right pixels, as PriMaPs), 'precision',
            'iou', 'direct', a list of them, or 'auto': hungarian where there are as many clusters as classes, else
            precision.
        field: The label map (1, H, W) of the data samples that is scored, such as 'pred_momentum'. Several metrics,
            each with its `field` and `prefix`, score several predictions of a model.
        num_clusters: K. None takes it from the predictions' metainfo: ``num_labels``, a number per field where fields
            differ, or ``num_clusters`` (else the number of classes).
        eval_size: None scores at the size of each ground-truth mask, (h, w) resizes prediction and ground truth to it
            (nearest, corner rule as in the published code).
        resize: What happens to a predicted map of pixels of another size than the ground truth, without `eval_size`:
            'centre' and 'corner' resize it (nearest) by a rule of `upsample_labels`; 'corner' is OpenCV's, by which
            MaskDistill's labels of 512 x 512 come to the size of the image (docs/methods/maskdistill.md §11). None
            refuses it.
        ignore_index: Label of pixels that do not count.
        count_ignored: Where `ignore_index` is the id of a class (ADE20K's 0), which then cannot occur: count it with
            an IoU of 0 in the mean, as published. Default: leave it out.
        say_labels: Whether the log says what the ground truth holds. Off for all but one of several metrics.
        published_mapping: With matching 'hungarian_pixels', clusters beyond the number of classes have no class in
            pictures and class maps, and the -1 that says so stands in the place of another cluster, as published
            (docs/methods/primaps.md §11). No score depends on it.
        output_dir: Folder for the label maps of the first seed, see `LabelMapWriter`. tools/test.py --out sets it.
        output_classes: Also write the maps of matched classes, to ``output_dir/classes``.
        nodata: Number of missing pixels in the images, for the label maps; None: what `ValueRangeHook` knows.
        keep_results: Accepted since mmseg's tools set it; files are kept in any case.

    Attributes:
        matching_: (K,) int64 class of every cluster of the first seed, by the first matching; None before `evaluate`.
        scores_: Matching -> one MatchingScores per seed.
        tables_: (S, K, C) int64.

    Raises:
        ValueError: If a matching or `resize` is unknown, the data set names no classes, or there is no image or no
            valid pixel.
    """

    default_prefix = None

    def __init__(self,
                 matching: str | Sequence[str] = 'auto',
                 field: str | None = None,
                 num_clusters: int | None = None,
                 eval_size: tuple[int, int] | None = None,
                 resize: str | None = 'centre',
                 ignore_index: int = 255,
                 count_ignored: bool = False,
                 say_labels: bool = True,
                 published_mapping: bool = False,
                 output_dir: str | None = None,
                 output_classes: bool = False,
                 nodata: float | None = None,
                 keep_results: bool = False,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.matchings = [matching] if isinstance(matching, str) else list(matching)
        check_matchings(self.matchings)
        if published_mapping and self.matchings[0] != 'hungarian_pixels':
            raise ValueError(f'ClusterMetric: published_mapping is that of hungarian_pixels, not of '
                             f"{self.matchings[0]}: set matching='hungarian_pixels'.")
        if resize not in (None, 'centre', 'corner'):
            raise ValueError(f"ClusterMetric: resize={resize!r} is unknown: use 'centre', 'corner' or None.")
        self.field = field
        self.num_clusters = num_clusters
        self.eval_size = None if eval_size is None else tuple(eval_size)
        self.resize = resize
        self.ignore_index = ignore_index
        self.count_ignored = count_ignored
        self.say_labels = say_labels
        self.published_mapping = published_mapping
        self.output_classes = output_classes
        self.nodata = nodata
        self.writer = None if output_dir is None else LabelMapWriter(output_dir)
        self.matching_: np.ndarray | None = None
        self.scores_: dict[str, list[MatchingScores]] = {}
        self.tables_: np.ndarray | None = None
        self._reset()

    def _reset(self) -> None:
        self._table = RunningTable()
        self._ignored = RunningTable()
        self._checks = LateChecks()
        self._seeds: tuple[int, ...] = ()

    @property
    def num_classes(self) -> int:
        """C, from the data set.

        Raises:
            ValueError: If the data set names no classes.
        """
        classes = (self.dataset_meta or {}).get('classes')
        if not classes:
            raise ValueError('ClusterMetric needs the names of the classes, but the data set has none in its METAINFO: '
                             "set metainfo=dict(classes=[...]) or its root's meta.json.")
        return len(classes)

    @property
    def left_out(self) -> int | None:
        """The class that does not count in the mean."""
        return self.ignore_index if not self.count_ignored and 0 <= self.ignore_index < self.num_classes else None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Add a batch of predictions (data samples as dicts) to the tables.

        Raises:
            ValueError: If a sample has no ground truth or no such field, or a label is out of range (of maps on a GPU
                this is seen at the end); the image is named.
        """
        for sample in data_samples:
            name = str(sample.get('img_path', f'image {self._table.images}'))
            if 'gt_sem_seg' not in sample:
                raise ValueError(f'{name} has no ground truth: add LoadAnnotations to the test pipeline, or a data set '
                                 'with masks.')
            num_clusters = (self.num_clusters or sample.get('num_labels', {}).get(self.field)
                            or sample.get('num_clusters') or self.num_classes)
            try:
                table = self._table_of(sample, num_clusters, name)
            except ValueError as error:
                raise ValueError(f'{name}: {error}') from error
            self._table.add(table)
            self._ignored.add(count_ignored(sample['gt_sem_seg']['data'], self.ignore_index))
            if self.writer is not None:
                labels = sample[self.field or 'pred_sem_seg']['data'].squeeze(0)
                self.writer.add(name, labels.cpu().numpy(), num_clusters, self.nodata, sample.get('crop_box'))

    def _table_of(self, sample: dict, num_clusters: int, name: str) -> Tensor:
        gt = sample['gt_sem_seg']['data'].squeeze(0)
        options = num_clusters, self.num_classes, self.ignore_index, self.eval_size
        if self.field is not None or 'pred_clusters' not in sample:
            self._seeds = (0, )
            return label_table(self._labels(sample), gt, *options, self.resize, self._checks.named(name))
        clusters = sample['pred_clusters']['data']
        self._seeds = tuple(sample.get('cluster_seeds', range(len(clusters))))
        return cluster_table(clusters, gt, *options, sample.get('cluster_extent'), self._checks.named(name))

    def _labels(self, sample: dict) -> Tensor:
        field = self.field or 'pred_sem_seg'
        if field not in sample:
            there = [key for key in sample if key.startswith('pred_')]
            raise ValueError(f'The model gives no {field!r}, which a ClusterMetric scores; it gives: '
                             f'{", ".join(there) or "no prediction"}. Change field= or the model.')
        return sample[field]['data'].squeeze(0)

    def evaluate(self, size: int) -> dict[str, float]:
        """Sum over processes, match, score, log, write.

        BaseMetric's own method gathers one result per image; here every process has one table for all of them.

        Args:
            size: Number of images in the data set.

        Raises:
            ValueError: If no image was processed, or no pixel is valid.
        """
        self._checks.finish()
        tables, images = self._table.gather(size)
        ignored, _ = self._ignored.gather(size)
        seeds = next(seeds for seeds in all_gather_object(self._seeds) if seeds)
        self._reset()
        if not tables.any():
            raise ValueError(f'Not a single pixel of {images} masks counts: all have the ignored label '
                             f'{self.ignore_index}. Check ignore_index, reduce_zero_label and the masks.')
        metrics = self.compute_metrics(tables)
        if is_main_process():
            self._log(images, seeds, ignored)
        if self.writer is not None:
            self.writer.finish(self.matching_ if self.output_classes else None, self.num_classes)
        return {f'{self.prefix}/{key}': value for key, value in metrics.items()} if self.prefix else metrics

    def compute_metrics(self, results: np.ndarray) -> dict[str, float]:
        """Match and score the tables (S, K, C) of all images; keeps them and their scores in the attributes."""
        self.tables_ = results
        self.scores_ = score_tables(results, self.matchings, self.left_out)
        self.matching_ = next(iter(self.scores_.values()))[0].mapping
        if self.published_mapping:
            self.matching_ = published_cluster_classes(results[0])
        return mean_scores(self.scores_)

    def _log(self, images: int, seeds: Sequence[int], ignored: np.ndarray) -> None:
        occurring, classes = self.tables_[0].sum(axis=0) > 0, self.dataset_meta['classes']
        for name, per_seed in self.scores_.items():
            line = protocol(name, images, *self.tables_.shape[1:], self.eval_size, self.ignore_index, seeds, per_seed,
                            self.left_out)
            print_log(f'{self.prefix}: {line}' if self.prefix else line, logger='current')
            print_log(explained(classes, occurring, per_seed), logger='current')
            print_log('\n' + class_table(classes, occurring, per_seed), logger='current')
        if not self.say_labels:
            return
        for level, message in findings(ignored, images, occurring, classes, self.ignore_index, self.left_out):
            print_log(message, logger='current', level=level)
