"""LabelFreeMetric: what label maps show where there is no ground truth, and that this is no score."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from leopart_mm.datasets.skipping import STANDS_FOR
from leopart_mm.evaluation.label_writer import LabelMapWriter
from leopart_mm.evaluation.running_table import RunningTable
from leopart_mm.registry import METRICS

NO_SCORE = ('These numbers describe the label maps. They say nothing of how right they are: there is no ground truth '
            'to score with, so look at the pictures.')


@METRICS.register_module()
class LabelFreeMetric(BaseMetric):
    """Describes label maps without ground truth: how many labels occur, and how evenly. It is no score.

    Reads ``pred_sem_seg`` and the metainfo ``num_clusters`` (else the number of classes, or of logits). Memory is a
    table of labels, whatever the number of images. Results are those of `describe_labels`: ``labels``,
    ``effective_labels``, ``labels_per_image``, ``largest_share``.

    tools/test.py takes it where a config has no metric (``test_evaluator = []``).

    Args:
        output_dir: Folder for the label maps, see `LabelMapWriter`. tools/test.py --out sets it.
        nodata: Number of missing pixels in the images, for the label maps; None: what `ValueRangeHook` knows.
        keep_results: Accepted since mmseg's tools set it; files are kept in any case.
        **kwargs: As in MMEngine's BaseMetric.
    """

    def __init__(self, output_dir: str | None = None, nodata: float | None = None, keep_results: bool = False,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.nodata = nodata
        self.writer = None if output_dir is None else LabelMapWriter(output_dir)
        self._table = RunningTable()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the labels of a batch of predictions (data samples as dicts).

        Raises:
            ValueError: If a sample has no label map, or does not say how many labels there are.
        """
        for sample in data_samples:
            name = str(sample.get('img_path', f'image {self._table.images}'))
            if 'pred_sem_seg' not in sample:
                raise ValueError(f'{name}: the model gives no label map (pred_sem_seg) to describe.')
            labels = sample['pred_sem_seg']['data'].squeeze(0).cpu().numpy()
            number = sample.get('num_clusters') or len((self.dataset_meta or {}).get('classes') or ())
            if not number and 'seg_logits' in sample:
                number = len(sample['seg_logits']['data'])
            if not number:
                raise ValueError(f'{name}: the model does not say how many labels it has (metainfo num_clusters).')
            if STANDS_FOR in sample:  # its own index gives this image too
                self._table.add(LabelTable.empty(number))
                continue
            self._table.add(LabelTable.of(labels, number))
            if self.writer is not None:
                self.writer.add(name, labels, number, self.nodata, sample.get('crop_box'))

    def evaluate(self, size: int) -> dict[str, float]:
        """Sum over processes, describe, log, write.

        Args:
            size: Number of images in the data set.
        """
        table, _ = self._table.gather(size)
        self._table = RunningTable()
        metrics = self.compute_metrics([table])
        if is_main_process():
            print_log(f'{in_words(metrics, table.total, len(table.pixels))} {NO_SCORE}', logger='current')
        if self.writer is not None:
            self.writer.finish()
        return {f'{self.prefix}/{key}': value for key, value in metrics.items()} if self.prefix else metrics

    def compute_metrics(self, results: list['LabelTable']) -> dict[str, float]:
        """The numbers of a table."""
        table, = results
        return describe_labels(table.pixels, table.images, table.total)


class LabelTable:
    """Pixels and images of each label, to be added up.

    Args:
        pixels: (K,) int64 number of pixels of each label.
        images: (K,) int64 number of images in which it occurs.
        total: Number of images.
    """

    def __init__(self, pixels: np.ndarray, images: np.ndarray, total: int) -> None:
        self.pixels, self.images, self.total = pixels, images, total

    @classmethod
    def of(cls, labels: np.ndarray, number: int) -> 'LabelTable':
        """The table of one map of `number` labels; pixels of other labels (without data) do not count."""
        pixels = np.bincount(labels.ravel(), minlength=number)[:number].astype(np.int64)
        return cls(pixels, (pixels > 0).astype(np.int64), 1)

    @classmethod
    def empty(cls, number: int) -> 'LabelTable':
        """The table of no map."""
        return cls(np.zeros(number, np.int64), np.zeros(number, np.int64), 0)

    def __add__(self, other: 'LabelTable') -> 'LabelTable':
        size = max(len(self.pixels), len(other.pixels))
        pixels, images = (np.pad(a, (0, size - len(a))) + np.pad(b, (0, size - len(b)))
                          for a, b in ((self.pixels, other.pixels), (self.images, other.images)))
        return LabelTable(pixels, images, self.total + other.total)


def describe_labels(pixels: np.ndarray, images: np.ndarray, total: int) -> dict[str, float]:
    """What label maps show without ground truth.

    Args:
        pixels: (K,) number of pixels of each label.
        images: (K,) number of images in which it occurs.
        total: Number of images.

    Returns:
        labels: How many of the K labels occur.
        effective_labels: How many labels of equal size would be as even: exp of the entropy of the shares.
        labels_per_image: Mean number of labels in an image.
        largest_share: Share of the largest label, in percent.

    >>> describe_labels(np.array([50, 50, 0]), np.array([2, 1, 0]), 2)
    {'labels': 2.0, 'effective_labels': 2.0, 'labels_per_image': 1.5, 'largest_share': 50.0}
    """
    shares = pixels / max(pixels.sum(), 1)
    present = shares[shares > 0]
    entropy = float(-(present * np.log(present)).sum())
    return dict(labels=float(len(present)), effective_labels=round(float(np.exp(entropy)), 4),
                labels_per_image=round(float(images.sum() / max(total, 1)), 4),
                largest_share=round(float(100 * shares.max(initial=0)), 4))


def in_words(metrics: dict[str, float], images: int, number: int) -> str:
    """`describe_labels` as a sentence.

    Args:
        metrics: The numbers.
        images: Number of images.
        number: Number of labels that the model has.
    """
    return (f'Label maps of {images} images: {metrics["labels"]:.0f} of {number} labels occur, as even as '
            f'{metrics["effective_labels"]:.1f} labels of equal size; the largest covers '
            f'{metrics["largest_share"]:.1f} % of all pixels; an image has {metrics["labels_per_image"]:.1f} labels on '
            'average.')
