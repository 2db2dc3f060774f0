"""Giving clusters to classes, and the scores that follow (docs/methods/leopart.md §7, docs/methods/primaps.md §11)."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

MATCHINGS = ('hungarian', 'hungarian_pixels', 'iou', 'precision', 'direct')


@dataclass
class MatchingScores:
    """Scores of a matched segmentation; shares and IoUs lie in 0..1, arrays have one entry per class.

    Args:
        mapping: (K,) int64, the class of every cluster.
        iou: (C,) float64, tp / max(tp + fp + fn, 1e-8): 0 for an absent class.
        miou: Mean IoU over all classes, absent ones included as 0 (the published mean), or over those that were asked
            for.
        miou_occurring: Mean IoU over the classes that occur in the ground truth; NaN if none does.
        miou_defined: Mean IoU over the classes that occur in the ground truth or in the prediction: those whose IoU is
            not 0/0. One that is predicted but absent counts as 0. NaN if there is none.
        tp, fp, fn: (C,) int64 pixel counts.
        pixel_accuracy: Share of valid pixels whose class is right; NaN without any valid pixel.
        background_share: Share of clusters mapped to class 0; 1/C for Hungarian (the published value).
    """

    mapping: np.ndarray
    iou: np.ndarray
    miou: float
    miou_occurring: float
    miou_defined: float
    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    pixel_accuracy: float
    background_share: float


def iou_matrix(table: np.ndarray) -> np.ndarray:
    """IoU of every cluster with every class from a table (K, C); 0 where both are empty."""
    table = _as_table(table)
    union = table.sum(1, keepdims=True) + table.sum(0, keepdims=True) - table
    return np.divide(table, union, out=np.zeros(table.shape), where=union > 0)


def precision_matrix(table: np.ndarray) -> np.ndarray:
    """Share of each cluster's pixels in every class, from a table (K, C); 0 for an empty cluster."""
    table = _as_table(table)
    size = table.sum(1, keepdims=True)
    return np.divide(table, size, out=np.zeros(table.shape), where=size > 0)


def hungarian(table: np.ndarray) -> np.ndarray:
    """One cluster per class so that the sum of IoUs is largest; clusters left over go to class 0. (K, C) -> (K,)."""
    mapping = np.zeros(len(_as_table(table)), np.int64)
    rows, columns = linear_sum_assignment(1 - iou_matrix(table))
    mapping[rows] = columns
    return mapping


def hungarian_pixels(table: np.ndarray) -> np.ndarray:
    """One cluster per class so that the number of right pixels is largest; clusters left over go to the class that they
    overlap most (the lowest on ties). (K, C) -> (K,).

    Ties are solved as the published code does, which gives scipy the transposed table where there are extra clusters
    (docs/methods/primaps.md §11).

    >>> hungarian_pixels(np.array([[9, 8], [8, 0], [1, 2]])).tolist()
    [1, 0, 1]
    """
    mapping = _as_table(table).argmax(axis=1)
    if len(mapping) > np.shape(table)[1]:
        columns, rows = linear_sum_assignment(np.transpose(table), maximize=True)
    else:
        rows, columns = linear_sum_assignment(table, maximize=True)
    mapping[rows] = columns
    return mapping


def published_cluster_classes(table: np.ndarray) -> np.ndarray:
    """The class of every cluster as the published code of PriMaPs tells it: extra clusters get -1, in a wrong place.

    The classes of the matched clusters, in the order of the clusters; then a -1 is inserted for each extra cluster e,
    but at e + 1 (docs/methods/primaps.md §11). The published scores come from another, right assignment.

    Args:
        table: (K, C) pixel counts, K >= C.

    Returns:
        (K,) int64; equal to `hungarian_pixels` without extra clusters.

    >>> published_cluster_classes(np.array([[9, 8], [1, 2], [8, 0]])).tolist()
    [1, 0, -1]
    """
    rows, columns = linear_sum_assignment(_as_table(table), maximize=True)
    classes = columns.tolist()
    for cluster in sorted(set(range(len(table))) - set(rows.tolist())):
        classes.insert(cluster + 1, -1)
    return np.array(classes, np.int64)


def many_to_one(table: np.ndarray, by: str = 'precision') -> np.ndarray:
    """Each cluster's best class by 'precision' or 'iou'; ties and empty clusters: the lowest class. (K, C) -> (K,).

    Raises:
        ValueError: If `by` is unknown.
    """
    matrices = dict(precision=precision_matrix, iou=iou_matrix)
    if by not in matrices:
        raise ValueError(f"many_to_one: by={by!r} is unknown: use 'precision' or 'iou'.")
    return matrices[by](table).argmax(axis=1)


def match(table: np.ndarray, matching: str) -> np.ndarray:
    """The class of every cluster, (K, C) -> (K,), by one of `MATCHINGS`; 'direct' keeps the ids (a probe's output).

    Raises:
        ValueError: If the matching is unknown, or 'direct' has more clusters than classes.

    >>> match(np.array([[0, 9], [6, 1], [0, 5]]), 'hungarian').tolist()
    [1, 0, 0]
    >>> match(np.array([[0, 9], [6, 1], [0, 5]]), 'precision').tolist()
    [1, 0, 1]
    """
    num_clusters, num_classes = _as_table(table).shape
    if matching == 'hungarian':
        return hungarian(table)
    if matching == 'hungarian_pixels':
        return hungarian_pixels(table)
    if matching in ('iou', 'precision'):
        return many_to_one(table, matching)
    if matching != 'direct':
        raise ValueError(f'Matching {matching!r} is unknown; there are: {", ".join(MATCHINGS)}.')
    if num_clusters > num_classes:
        raise ValueError(f'Direct matching needs ids of classes, but there are {num_clusters} ids and {num_classes} '
                         "classes: use 'hungarian', 'iou' or 'precision'.")
    return np.arange(num_clusters)


def scores(table: np.ndarray, matching: str, left_out: int | None = None) -> MatchingScores:
    """Match the clusters of a contingency table (K, C) and score the result.

    Args:
        table: (K, C) pixel counts.
        matching: One of `MATCHINGS`.
        left_out: A class that cannot occur (ADE20K's class 0) and does not count in `miou`; None counts all.

    >>> result = scores(np.array([[8, 2], [0, 10]]), 'hungarian')
    >>> result.mapping.tolist(), result.iou.round(3).tolist(), result.pixel_accuracy
    ([0, 1], [0.8, 0.833], 0.9)
    """
    table = _as_table(table)
    num_classes = table.shape[1]
    mapping = match(table, matching)
    merged = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(merged, mapping, table)
    tp = merged.diagonal().copy()
    fp, fn = merged.sum(1) - tp, merged.sum(0) - tp
    iou = tp / np.maximum(tp + fp + fn, 1e-8)
    occurring, defined = merged.sum(0) > 0, tp + fp + fn > 0
    total = int(merged.sum())
    background = 1 / num_classes if matching == 'hungarian' else float((mapping == 0).mean())
    return MatchingScores(
        mapping=mapping,
        iou=iou,
        miou=float((iou if left_out is None else np.delete(iou, left_out)).mean()),
        miou_occurring=float(iou[occurring].mean()) if occurring.any() else float('nan'),
        miou_defined=float(iou[defined].mean()) if defined.any() else float('nan'),
        tp=tp,
        fp=fp,
        fn=fn,
        pixel_accuracy=int(tp.sum()) / total if total else float('nan'),
        background_share=background)


def _as_table(table: np.ndarray) -> np.ndarray:
    table = np.asarray(table)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f'A contingency table must have the shape (clusters, classes), not {table.shape}.')
    return table
