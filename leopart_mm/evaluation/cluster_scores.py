"""Scores of clusters against classes, in two pure steps: an image to a table, tables to numbers.

Source: docs/methods/leopart.md §7.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from leopart_mm.clustering.contingency import cell_histogram, contingency_table, table_from_cells
from leopart_mm.clustering.matching import MATCHINGS, MatchingScores, scores
from leopart_mm.devices import move
from leopart_mm.geometry.patch_grid import cell_indices, upsample_labels
from leopart_mm.late_checks import Check, check_at_once


def label_table(pred: Tensor, gt: Tensor, num_clusters: int, num_classes: int, ignore_index: int = 255,
                eval_size: tuple[int, int] | None = None, resize: str | None = 'centre',
                check: Check = check_at_once) -> Tensor:
    """Table of one image from a predicted label map of pixels.

    Args:
        pred: (h, w) cluster ids; resized to the ground truth where the sizes differ (nearest), see `resize`.
        gt: (H, W) class ids.
        num_clusters: K.
        num_classes: C.
        ignore_index: Label of pixels that do not count.
        eval_size: (h, w) to which both are resized first (nearest, corner rule as published). None: the size of `gt`.
        resize: By which rule of `upsample_labels` a map of another size than `gt` is resized, without `eval_size`; None
            refuses it.
        check: As for `contingency_table`.

    Returns:
        (1, K, C) int64.

    Raises:
        ValueError: If a label is out of range, or the sizes differ and `resize` is None.
    """
    if eval_size is None and resize is None and pred.shape != gt.shape:
        raise ValueError(f'The prediction has {pred.shape[0]} x {pred.shape[1]} pixels, the ground truth {gt.shape[0]} '
                         f'x {gt.shape[1]} (height x width): predict at the size of the ground truth, or set resize= '
                         "of ClusterMetric ('centre', or 'corner' as OpenCV's nearest).")
    size, rule = (tuple(gt.shape), resize or 'centre') if eval_size is None else (eval_size, 'corner')
    pred, gt = (upsample_labels(labels, size, rule=rule) for labels in (pred, gt))
    return contingency_table(pred, move(gt, pred.device), num_clusters, num_classes, ignore_index, check=check)[None]


def cluster_table(clusters: Tensor, gt: Tensor, num_clusters: int, num_classes: int, ignore_index: int = 255,
                  eval_size: tuple[int, int] | None = None,
                  extent: tuple[float, float, float, float] | None = None, check: Check = check_at_once) -> Tensor:
    """Tables of one image from label maps on the patch grid.

    Equal to `label_table` of the maps brought to pixels, at a cost that does not grow with the number of maps.

    Args:
        clusters: (S, h, w) cluster ids.
        gt, num_clusters, num_classes, ignore_index, eval_size: As for `label_table`.
        extent: Where the image lies on the grid (top, bottom, left, right), in cells. None: on all of it.
        check: As for `contingency_table`.

    Returns:
        (S, K, C) int64.

    Raises:
        ValueError: If a label is out of range.
    """
    grid = tuple(clusters.shape[-2:])
    if eval_size is not None:
        gt = upsample_labels(gt, eval_size, rule='corner')
    cells = cell_indices(grid, tuple(gt.shape), extent, 'centre' if eval_size is None else 'corner')
    histogram = cell_histogram(gt, move(cells, gt.device), grid[0] * grid[1], num_classes, ignore_index, check)
    return table_from_cells(clusters.flatten(1), move(histogram, clusters.device), num_clusters, check)


def resolve_matchings(matchings: Sequence[str], num_clusters: int, num_classes: int) -> list[str]:
    """Names of matchings, 'auto' replaced ('hungarian' for as many clusters as classes, else 'precision'), each once.

    >>> resolve_matchings(['auto', 'precision'], 500, 21)
    ['precision']
    """
    auto = 'hungarian' if num_clusters == num_classes else 'precision'
    return list(dict.fromkeys(auto if name == 'auto' else name for name in matchings))


def check_matchings(matchings: Sequence[str]) -> None:
    """Raise a ValueError for a matching that is unknown."""
    for name in matchings:
        if name not in (*MATCHINGS, 'auto'):
            raise ValueError(f'Matching {name!r} is unknown; there are: auto, {", ".join(MATCHINGS)}.')


def score_tables(tables: np.ndarray, matchings: Sequence[str],
                 left_out: int | None = None) -> dict[str, list[MatchingScores]]:
    """Scores of tables (S, K, C): matching -> one entry per seed. `left_out`: see `scores`."""
    names = resolve_matchings(matchings, *tables.shape[1:])
    return {name: [scores(table, name, left_out) for table in tables] for name in names}


def mean_scores(per_matching: Mapping[str, Sequence[MatchingScores]]) -> dict[str, float]:
    """Means over seeds, in percent.

    Returns:
        ``mIoU``, ``mIoU_std`` (population standard deviation), ``mIoU_occurring``, ``mIoU_defined``, ``aAcc`` and
        ``background_share`` of the first matching; with several matchings also ``<matching>/mIoU`` and so on for each.
    """
    metrics: dict[str, float] = {}
    for name, per_seed in per_matching.items():
        values = _mean_of_seeds(per_seed)
        metrics = metrics or dict(values)
        if len(per_matching) > 1:
            metrics.update({f'{name}/{key}': value for key, value in values.items()})
    return metrics


def _mean_of_seeds(per_seed: Sequence[MatchingScores]) -> dict[str, float]:
    miou = np.array([score.miou for score in per_seed]) * 100
    return dict(
        mIoU=float(miou.mean()),
        mIoU_std=float(miou.std()),
        mIoU_occurring=float(np.mean([score.miou_occurring for score in per_seed])) * 100,
        mIoU_defined=float(np.mean([score.miou_defined for score in per_seed])) * 100,
        aAcc=float(np.mean([score.pixel_accuracy for score in per_seed])) * 100,
        background_share=float(np.mean([score.background_share for score in per_seed])) * 100)
