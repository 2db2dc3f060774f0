"""The text that goes with a score: under which protocol it was made, and the IoU of every class."""

from collections.abc import Sequence

import numpy as np
from prettytable import PrettyTable

from leopart_mm.clustering.matching import MatchingScores

MATCHING_NAMES = dict(
    hungarian='Hungarian matching',
    precision='many-to-one by precision',
    iou='many-to-one by IoU',
    direct='no matching')


def protocol(matching: str, images: int, num_clusters: int, num_classes: int, eval_size: tuple[int, int] | None,
             ignore_index: int, seeds: Sequence[int], scores: Sequence[MatchingScores],
             left_out: int | None = None) -> str:
    """One line: the result and everything that must be equal for another result to be comparable."""
    miou = np.array([score.miou for score in scores]) * 100
    background = np.mean([score.background_share for score in scores]) * 100
    size = 'their own size' if eval_size is None else f'{eval_size[0]}x{eval_size[1]} (nearest)'
    classes = 'all classes' if left_out is None else f'all classes but {left_out}'
    return (f'mIoU {miou.mean():.2f} ± {miou.std():.2f} ({MATCHING_NAMES[matching]}; {num_clusters} clusters, '
            f'{num_classes} classes, mean over {classes}; masks at {size}, label {ignore_index} ignored; '
            f'{images} images; seeds {", ".join(map(str, seeds))}; background clusters {background:.1f} %)')


def class_table(classes: Sequence[str], occurring: np.ndarray, scores: Sequence[MatchingScores]) -> str:
    """A table of IoU (mean and standard deviation over seeds) per class, in percent; absent classes are marked."""
    iou = np.stack([score.iou for score in scores]) * 100
    table = PrettyTable(['class', 'IoU', 'std'])
    table.align['class'], table.align['IoU'], table.align['std'] = 'l', 'r', 'r'
    for index, name in enumerate(classes):
        suffix = '' if occurring[index] else ' (not in the ground truth)'
        table.add_row([f'{name}{suffix}', f'{iou[:, index].mean():.2f}', f'{iou[:, index].std():.2f}'])
    return table.get_string()
