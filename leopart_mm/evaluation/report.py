"""The text beside a score: under which protocol it was made, what the numbers mean, the IoU of every class."""

from collections.abc import Sequence

import numpy as np
from prettytable import PrettyTable

from leopart_mm.clustering.matching import MatchingScores

MATCHING_NAMES = dict(
    hungarian='Hungarian matching by IoU',
    hungarian_pixels='Hungarian matching by pixels',
    precision='many-to-one by precision',
    iou='many-to-one by IoU',
    direct='no matching')


def protocol(matching: str, images: int, num_clusters: int, num_classes: int, eval_size: tuple[int, int] | None,
             ignore_index: int, seeds: Sequence[int], scores: Sequence[MatchingScores],
             left_out: int | None = None) -> str:
    """The result in one line, with everything that must be equal for another result to be comparable."""
    miou = np.array([score.miou for score in scores]) * 100
    size = 'their own size' if eval_size is None else f'{eval_size[0]}x{eval_size[1]} (nearest)'
    classes = 'all classes' if left_out is None else f'all classes but {left_out}'
    return (f'mIoU {miou.mean():.2f}{_spread(miou)} ({MATCHING_NAMES[matching]}; {num_clusters} clusters, '
            f'{num_classes} classes, mean over {classes}; masks at {size}, label {ignore_index} ignored; '
            f'{images} images; {"seed" if len(seeds) == 1 else "seeds"} {", ".join(map(str, seeds))})')


def explained(classes: Sequence[str], occurring: np.ndarray, scores: Sequence[MatchingScores]) -> str:
    """The other metrics of `ClusterMetric`, each with what it is.

    Args:
        classes: C names.
        occurring: (C,) bool, whether the ground truth holds a class.
        scores: One entry per seed.
    """

    def percent(name: str) -> str:
        return f'{100 * np.mean([getattr(score, name) for score in scores]):.2f} %'

    return (f'mIoU_occurring {percent("miou_occurring")}: mean over the {int(occurring.sum())} of {len(classes)} '
            f'classes that the ground truth holds; mIoU_defined {percent("miou_defined")}: also over those that are '
            f'predicted without occurring, 0 each; aAcc {percent("pixel_accuracy")}: share of the pixels whose class '
            f'is right; background_share {percent("background_share")}: share of the clusters that are matched to '
            f'class 0 ({classes[0]})')


def class_table(classes: Sequence[str], occurring: np.ndarray, scores: Sequence[MatchingScores]) -> str:
    """A table of IoU per class in percent, mean and, of several seeds, standard deviation; absent classes are marked.

    Args: As for `explained`.
    """
    iou = np.stack([score.iou for score in scores]) * 100
    table = PrettyTable(['class', 'IoU', 'std'])
    table.align['class'], table.align['IoU'], table.align['std'] = 'l', 'r', 'r'
    for index, name in enumerate(classes):
        suffix = '' if occurring[index] else ' (not in the ground truth)'
        table.add_row([f'{name}{suffix}', f'{iou[:, index].mean():.2f}', f'{iou[:, index].std():.2f}'])
    return table.get_string(fields=['class', 'IoU', 'std'] if len(scores) > 1 else ['class', 'IoU'])


def _spread(values: np.ndarray) -> str:
    """Standard deviation; of one value there is none."""
    return f' ± {values.std():.2f}' if len(values) > 1 else ''
