"""ClusterMetric: how well clusters cover classes, from one running contingency table per seed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object, get_dist_info, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from leopart_mm.clustering.contingency import cell_histogram, contingency_table, table_from_cells
from leopart_mm.clustering.matching import MATCHINGS, MatchingScores, scores
from leopart_mm.evaluation.label_writer import LabelMapWriter, read_labels, write_labels
from leopart_mm.evaluation.report import class_table, protocol
from leopart_mm.geometry.patch_grid import cell_indices, upsample_labels
from leopart_mm.registry import METRICS


@METRICS.register_module()
class ClusterMetric(BaseMetric):
    """Unsupervised segmentation scores: clusters are matched to classes, then IoU (docs/methods/leopart.md §7).

    Reads ``pred_clusters`` (all seeds) of UnsupervisedSegmentor, or ``pred_sem_seg`` of any other model, and
    ``gt_sem_seg``. Memory is the tables' (seeds x clusters x classes), whatever the number of images; on several
    processes the tables are summed, and an image that the sampler repeated to fill its last round counts once.

    Results in percent, mean over seeds: ``mIoU`` (over all classes, absent ones 0: the published mean), ``mIoU_std``
    (population standard deviation over seeds), ``mIoU_occurring`` (over classes with ground truth), ``aAcc`` (pixel
    accuracy), ``background_share`` (of clusters). With several matchings these are the first one's, and every one's
    stand under ``<matching>/mIoU`` and so on.

    Args:
        matching: 'hungarian', 'precision', 'iou', 'direct', a list of them, or 'auto': hungarian where there are as
            many clusters as classes, else precision.
        num_clusters: K. None takes it from the predictions' metainfo ``num_clusters`` (else number of classes).
        eval_size: None scores at the size of each ground-truth mask, (h, w) resizes prediction and ground truth to it
            (nearest, corner rule as in the published code).
        ignore_index: Label of pixels that do not count.
        count_ignored: Where `ignore_index` is the id of a class (ADE20K's 0), which then cannot occur: count it with
            an IoU of 0 in the mean, as published. Default: leave it out.
        output_dir: Folder for the label maps of the first seed, at image size, named as the images; 16-bit PNG when
            K > 256. tools/test.py --out sets it.
        output_classes: Also write the maps of matched classes, to ``output_dir/classes``.
        keep_results: Accepted since mmseg's tools set it; files are kept in any case.

    Attributes:
        matching_: (K,) int64 class of every cluster of the first seed, by the first matching; None before `evaluate`.
        scores_: Matching -> one MatchingScores for each seed.
        tables_: (S, K, C) int64.

    Raises:
        ValueError: Unknown matching; the data set names no classes; no image, no valid pixel.
    """

    default_prefix = None

    def __init__(self,
                 matching: str | Sequence[str] = 'auto',
                 num_clusters: int | None = None,
                 eval_size: tuple[int, int] | None = None,
                 ignore_index: int = 255,
                 count_ignored: bool = False,
                 output_dir: str | None = None,
                 output_classes: bool = False,
                 keep_results: bool = False,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.matchings = [matching] if isinstance(matching, str) else list(matching)
        for name in self.matchings:
            if name not in (*MATCHINGS, 'auto'):
                raise ValueError(f'ClusterMetric: matching {name!r} is unknown; there are: auto, '
                                 f'{", ".join(MATCHINGS)}.')
        self.num_clusters = num_clusters
        self.eval_size = None if eval_size is None else tuple(eval_size)
        self.ignore_index = ignore_index
        self.count_ignored = count_ignored
        self.output_classes = output_classes
        self.writer = None if output_dir is None else LabelMapWriter(output_dir)
        self.matching_: np.ndarray | None = None
        self.scores_: dict[str, list[MatchingScores]] = {}
        self.tables_: np.ndarray | None = None
        self._reset()

    def _reset(self) -> None:
        self._total: Tensor | None = None
        # The table of the last image waits: only `evaluate` knows the number of images, hence whether it is a repeat.
        self._last: Tensor | None = None
        self._images = 0
        self._seeds: tuple[int, ...] = ()

    @property
    def num_classes(self) -> int:
        """C, from the data set.

        Raises:
            ValueError: The data set names no classes.
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
            ValueError: A label is out of range (the image is named).
        """
        for sample in data_samples:
            name = str(sample.get('img_path', f'image {self._images}'))
            if 'gt_sem_seg' not in sample:
                raise ValueError(f'{name} has no ground truth: add LoadAnnotations to the test pipeline, or a data set '
                                 'with masks.')
            try:
                table, num_clusters = self._table(sample)
            except ValueError as error:
                raise ValueError(f'{name}: {error}') from error
            if self._last is not None:
                self._total = self._last if self._total is None else self._total + self._last
            self._last = table.cpu()
            self._images += 1
            if self.writer is not None:
                self.writer.add(name, sample['pred_sem_seg']['data'].squeeze(0).cpu().numpy(), num_clusters)

    def _table(self, sample: dict) -> tuple[Tensor, int]:
        """(S, K, C) of one image, and K."""
        num_clusters = self.num_clusters or sample.get('num_clusters') or self.num_classes
        gt = sample['gt_sem_seg']['data'].squeeze(0)
        if 'pred_clusters' not in sample:
            pred = sample['pred_sem_seg']['data'].squeeze(0)
            self._seeds = (0, )
            size = self.eval_size or tuple(gt.shape)
            rule = 'corner' if self.eval_size else 'centre'
            pred, gt = (upsample_labels(labels, size, rule=rule) for labels in (pred, gt))
            table = contingency_table(pred, gt.to(pred.device), num_clusters, self.num_classes, self.ignore_index)
            return table[None], num_clusters
        clusters, extent = sample['pred_clusters']['data'], sample.get('cluster_extent')
        self._seeds = tuple(sample.get('cluster_seeds', range(len(clusters))))
        grid = tuple(clusters.shape[-2:])
        if self.eval_size is not None:
            gt = upsample_labels(gt, self.eval_size, rule='corner')
        cells = cell_indices(grid, tuple(gt.shape), extent, 'corner' if self.eval_size else 'centre')
        histogram = cell_histogram(gt, cells.to(gt.device), grid[0] * grid[1], self.num_classes, self.ignore_index)
        return table_from_cells(clusters.flatten(1), histogram.to(clusters.device), num_clusters), num_clusters

    def evaluate(self, size: int) -> dict[str, float]:
        """Sum over processes, match, score, log; `size` is the number of images in the data set.

        Raises:
            ValueError: No image was processed, or no pixel is valid.
        """
        tables, images, seeds = self._gather(size)
        paths = None if self.writer is None else sorted({path for part in all_gather_object(self.writer.paths)
                                                         for path in part})
        self._reset()
        self.tables_ = tables
        names = list(dict.fromkeys(self._resolve(name) for name in self.matchings))
        self.scores_ = {name: [scores(table, name, self.left_out) for table in tables] for name in names}
        self.matching_ = self.scores_[names[0]][0].mapping
        if is_main_process():
            self._log(names, images, seeds)
            if paths is not None:
                self._write(paths)
        metrics = self.compute_metrics(names)
        return {f'{self.prefix}/{key}': value for key, value in metrics.items()} if self.prefix else metrics

    def _gather(self, size: int) -> tuple[np.ndarray, int, tuple[int, ...]]:
        rank, world = get_dist_info()
        total, images = self._total, self._images
        if world > 1 and images == -(-size // world) and rank + world * (images - 1) >= size:
            images -= 1  # the sampler repeated an image to fill the last round
        elif images:
            total = self._last if total is None else total + self._last
        parts = all_gather_object((None if total is None else total.numpy(), images, self._seeds))
        found = [part for part in parts if part[0] is not None]
        images = sum(part[1] for part in parts)
        if not found:
            raise ValueError('ClusterMetric saw no image: the test data set is empty.')
        if images > size:
            raise ValueError(f'ClusterMetric saw {images} images of a data set of {size}: the sampler repeats images. '
                             "Use sampler=dict(type='DefaultSampler', shuffle=False) in test_dataloader.")
        tables = sum(part[0] for part in found)
        if not tables.any():
            raise ValueError(f'Not a single pixel of {images} masks counts: all have the ignored label '
                             f'{self.ignore_index}. Check ignore_index, reduce_zero_label and the masks.')
        return tables, images, found[0][2]

    def _resolve(self, matching: str) -> str:
        if matching != 'auto':
            return matching
        clusters, classes = self.tables_.shape[1:]
        return 'hungarian' if clusters == classes else 'precision'

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Numbers of the matchings in `results`, from `scores_`."""
        metrics = {}
        for index, name in enumerate(results):
            per_seed = self.scores_[name]
            miou = np.array([score.miou for score in per_seed]) * 100
            values = dict(
                mIoU=float(miou.mean()),
                mIoU_std=float(miou.std()),
                mIoU_occurring=float(np.mean([score.miou_occurring for score in per_seed])) * 100,
                aAcc=float(np.mean([score.pixel_accuracy for score in per_seed])) * 100,
                background_share=float(np.mean([score.background_share for score in per_seed])) * 100)
            if index == 0:
                metrics.update(values)
            if len(results) > 1:
                metrics.update({f'{name}/{key}': value for key, value in values.items()})
        return metrics

    def _log(self, names: Sequence[str], images: int, seeds: Sequence[int]) -> None:
        occurring = self.tables_[0].sum(axis=0) > 0
        for name in names:
            print_log(protocol(name, images, self.tables_.shape[1], self.tables_.shape[2], self.eval_size,
                               self.ignore_index, seeds, self.scores_[name], self.left_out), logger='current')
            print_log('\n' + class_table(self.dataset_meta['classes'], occurring, self.scores_[name]), logger='current')

    def _write(self, paths: Sequence[str]) -> None:
        files = self.writer.finish(paths)
        print_log(f'Wrote {len(files)} label maps to {self.writer.folder}', logger='current')
        if not self.output_classes:
            return
        folder = self.writer.folder / 'classes'
        folder.mkdir(exist_ok=True)
        for file in files.values():
            write_labels(folder / file.name, self.matching_[read_labels(file)], self.tables_.shape[2])
