"""Clusters of masks by one feature each, and their names by ground truth (docs/methods/maskdistill.md §5)."""

from dataclasses import dataclass

import numpy as np

from leopart_mm.clustering.matching import hungarian_pixels

SEED = 1234


@dataclass(frozen=True)
class ClusterNames:
    """What a ground truth says about clusters.

    Args:
        classes: (K,) int64, the class of every cluster.
        matched_by: 'hungarian' or 'majority', see `name_clusters`.
        empty: Clusters without a sample that has a target: their class says nothing.
        accuracy: Share of the samples with a target whose cluster has their class, 0..1.
        nmi: Normalised mutual information of clusters and targets, 0..1.
        ari: Adjusted Rand index of clusters and targets, at most 1.
        samples: Number of samples with a target.
    """

    classes: np.ndarray
    matched_by: str
    empty: list[int]
    accuracy: float
    nmi: float
    ari: float
    samples: int


def whiten(features: np.ndarray) -> np.ndarray:
    """Divide each dimension by its population standard deviation, without centring; a constant one is left as it is.

    Args:
        features: (N, D).

    Returns:
        (N, D) float32.
    """
    features = np.asarray(features, np.float32)
    deviation = features.astype(np.float64).std(axis=0)
    # what rounding leaves of a constant dimension is no spread
    constant = deviation <= np.finfo(np.float32).eps * np.abs(features).max(axis=0, initial=0)
    return (features / np.where(constant, 1, deviation)).astype(np.float32)


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Rows (N, D) of length 1; a row of zeros stays."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(lengths > 0, lengths, 1)


def cluster_features(features: np.ndarray, num_clusters: int, seed: int = SEED, n_init: int = 3,
                     batch_size: int = 1000, whitened: bool = True) -> np.ndarray:
    """Mini-batch k-means of whitened unit rows by scikit-learn; its other settings are those of the published runs.

    The result depends on the order of the rows, and not on the number of threads.

    Args:
        features: (N, D), of the masks and of their support set.
        num_clusters: K.
        seed: Seed of the centres' starts and of the batches.
        n_init: Number of starts, of which the best on 3000 samples is taken.
        batch_size: Samples per batch.
        whitened: Divide each dimension by its standard deviation first.

    Returns:
        (N,) int64, 0..K-1.

    Raises:
        ValueError: If there are fewer samples than clusters, or a feature is not finite.
    """
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits
    check_number(len(features), num_clusters)
    if not np.isfinite(features).all():
        bad = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise ValueError(f'The feature of mask {bad} is not finite: the checkpoint of the backbone is damaged, or its '
                         'precision too low.')
    rows = unit_rows(whiten(features) if whitened else np.asarray(features, np.float32))
    kmeans = MiniBatchKMeans(num_clusters, n_init=n_init, batch_size=batch_size, random_state=seed)
    with threadpool_limits(limits=1):
        return kmeans.fit_predict(rows).astype(np.int64)


def check_number(samples: int, num_clusters: int) -> None:
    """Raise a ValueError if so many masks cannot form K clusters."""
    if not 1 <= num_clusters <= samples:
        raise ValueError(f'{samples} masks cannot form {num_clusters} clusters: take fewer clusters (at least one), or '
                         'more images.')


def name_clusters(clusters: np.ndarray, targets: np.ndarray, num_clusters: int, num_classes: int) -> ClusterNames:
    """Give each cluster a class, and score that.

    With at most as many clusters as classes by Hungarian matching on the number of right samples, each class at most
    once. With more by majority: each takes the class that most of its samples have, on ties the one met first.

    Args:
        clusters: (N,) int, 0..K-1.
        targets: (N,) int, 0..C-1; -1: no target, which counts nowhere.
        num_clusters: K.
        num_classes: C.

    Raises:
        ValueError: If no sample has a target, or an id is out of range.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    clusters, targets = np.asarray(clusters, np.int64), np.asarray(targets, np.int64)
    if clusters.shape != targets.shape:
        raise ValueError(f'{len(clusters)} clusters and {len(targets)} targets do not belong together.')
    valid = targets >= 0
    clusters, targets = clusters[valid], targets[valid]
    if not len(targets):
        raise ValueError('No mask has a ground-truth object, so clusters cannot be named.')
    for name, ids, count in (('cluster', clusters, num_clusters), ('class', targets, num_classes)):
        if ids.min() < 0 or ids.max() >= count:
            raise ValueError(f'There is {name} {ids.max() if ids.max() >= count else ids.min()}, but only '
                             f'0..{count - 1} exist.')
    table = np.zeros((num_clusters, num_classes), np.int64)
    np.add.at(table, (clusters, targets), 1)
    one_to_one = num_clusters <= num_classes
    classes = hungarian_pixels(table) if one_to_one else _majority(table, clusters, targets)
    return ClusterNames(
        classes=classes,
        matched_by='hungarian' if one_to_one else 'majority',
        empty=np.flatnonzero(table.sum(axis=1) == 0).tolist(),
        accuracy=float((classes[clusters] == targets).mean()),
        nmi=float(normalized_mutual_info_score(targets, clusters)),
        ari=float(adjusted_rand_score(targets, clusters)),
        samples=len(targets))


def _majority(table: np.ndarray, clusters: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(K,) most frequent class per cluster, on ties the one met first; of an empty one the most frequent of all."""
    first = np.full(table.shape, len(targets))
    np.minimum.at(first, (clusters, targets), np.arange(len(targets)))
    best = table == table.max(axis=1, keepdims=True)
    classes = np.where(best, first, len(targets) + 1).argmin(axis=1)
    return np.where(table.sum(axis=1) > 0, classes, table.sum(axis=0).argmax())
