"""BoundaryF1Metric: how well predicted borders match true ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from prettytable import PrettyTable
from torch import Tensor

from leopart_mm.geometry.boundary import boundary_f1_per_class
from leopart_mm.geometry.patch_grid import upsample_labels
from leopart_mm.registry import METRICS

TARGETS = ('classes', 'foreground', 'background')


@METRICS.register_module()
class BoundaryF1Metric(BaseMetric):
    """Boundary F1 of label maps, in percent (docs/methods/leopart.md §11).

    Reads ``pred_sem_seg`` and ``gt_sem_seg``. Results: ``BF1``, the mean over classes of the mean over the images that
    score the class; ``BF1_image``, the mean over images of the mean over their classes (with 'foreground' and
    'background' there is one class, so both are equal). An image where neither map has the class, or where no contour
    point is near another (0/0, as published), does not count; one where only one map has it counts 0.

    Args:
        threshold: A contour point is right if its distance from the other contour, in pixels, is below this.
        target: 'classes': each class but 0 by itself (class 0 too with `skip_background=False`). 'foreground': a
            single mask, all labels but the background. 'background': its inverse, as published; the two differ at the
            ignored label, which is foreground, and at the image's border.
        eval_size: (h, w) to which both maps are resized first (nearest, corner rule as published); None keeps the size
            of the ground truth.
        skip_background: With target 'classes', leave class 0 out.
        pred_background: Predicted labels that mean background, with the other targets.
        ignore_index: Label of the ground truth that is no class.
        mask_ignored: Also remove the ignored pixels of the ground truth from the prediction. Default: no, as published.

    Raises:
        ValueError: If the target is unknown, or the threshold not positive.
    """

    default_prefix = None

    def __init__(self,
                 threshold: float = 16.,
                 target: str = 'foreground',
                 eval_size: tuple[int, int] | None = (448, 448),
                 skip_background: bool = True,
                 pred_background: Sequence[int] = (0, ),
                 ignore_index: int = 255,
                 mask_ignored: bool = False,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if target not in TARGETS:
            raise ValueError(f'BoundaryF1Metric: target {target!r} is unknown; there are: {", ".join(TARGETS)}.')
        if threshold <= 0:
            raise ValueError(f'BoundaryF1Metric: threshold={threshold} must be positive.')
        self.threshold = threshold
        self.target = target
        self.eval_size = None if eval_size is None else tuple(eval_size)
        self.skip_background = skip_background
        self.pred_background = tuple(pred_background)
        self.ignore_index = ignore_index
        self.mask_ignored = mask_ignored

    @property
    def names(self) -> list[str]:
        """What is scored: class names, or the target.

        Raises:
            ValueError: If the target is 'classes' and the data set names none.
        """
        if self.target != 'classes':
            return [self.target]
        classes = (self.dataset_meta or {}).get('classes')
        if not classes:
            raise ValueError("BoundaryF1Metric(target='classes') needs the names of the classes, but the data set has "
                             'none in its METAINFO.')
        return list(classes)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Score a batch of predictions (data samples as dicts).

        Raises:
            ValueError: If a sample has no ground truth.
        """
        for sample in data_samples:
            if 'gt_sem_seg' not in sample:
                raise ValueError(f'{sample.get("img_path", "An image")} has no ground truth: add LoadAnnotations to '
                                 'the test pipeline, or a data set with masks.')
            gt = self._resized(sample['gt_sem_seg']['data'].squeeze(0))
            pred = self._resized(sample['pred_sem_seg']['data'].squeeze(0), tuple(gt.shape))
            self.results.append(self.score(gt, pred))

    def _resized(self, labels: Tensor, size: tuple[int, int] | None = None) -> np.ndarray:
        size = self.eval_size or size
        return (labels if size is None else upsample_labels(labels, size, rule='corner')).cpu().numpy()

    def score(self, gt: np.ndarray, pred: np.ndarray) -> np.ndarray:
        """Boundary F1 of two label maps (h, w), a number per entry of `names`; NaN where there is none."""
        ignored = gt == self.ignore_index
        if self.target == 'classes':
            if self.mask_ignored:
                pred = np.where(ignored, self.ignore_index, pred)
            return boundary_f1_per_class(gt, pred, self.threshold, len(self.names), self.skip_background)
        gt_mask, pred_mask = gt != 0, ~np.isin(pred, self.pred_background)
        if self.mask_ignored:
            gt_mask, pred_mask = gt_mask & ~ignored, pred_mask & ~ignored
        if self.target == 'background':
            gt_mask, pred_mask = ~gt_mask, ~pred_mask
        return boundary_f1_per_class(gt_mask.astype(np.uint8), pred_mask.astype(np.uint8), self.threshold, 2)[1:]

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Means over the images' scores.

        Raises:
            ValueError: If no image was processed.
        """
        if not results:
            raise ValueError('BoundaryF1Metric saw no image: the test data set is empty.')
        scores = np.stack(results) * 100
        per_class = _mean(scores, 0)
        table = PrettyTable(['class', 'BF1', 'images'])
        for name, value, count in zip(self.names, per_class, (~np.isnan(scores)).sum(0), strict=True):
            if count:
                table.add_row([name, f'{value:.2f}', int(count)])
        size = 'ground-truth size' if self.eval_size is None else f'{self.eval_size[0]}x{self.eval_size[1]}'
        print_log(f'Boundary F1 of {self.target}, threshold {self.threshold:g} px at {size}, {len(results)} images:\n'
                  f'{table}', logger='current')
        return dict(BF1=float(_mean(per_class)), BF1_image=float(_mean(_mean(scores, 1))))


def _mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Mean of the values that are not NaN; NaN, without NumPy's warning, where all are."""
    valid = ~np.isnan(values)
    count = valid.sum(axis)
    return np.where(count > 0, np.where(valid, values, 0).sum(axis) / np.maximum(count, 1), np.nan)
