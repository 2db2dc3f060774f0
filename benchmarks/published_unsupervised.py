"""The published way of fully unsupervised segmentation, written out straightforwardly: everything in memory, loops.

Written from the description of the method (docs/methods/leopart.md §7, §8, §10); no published code is in here.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

from leopart_mm.clustering.cooccurrence import PUBLISHED_ANGLES


def resize_nearest(maps: np.ndarray, size: int = 100) -> np.ndarray:
    """(N, h, w, ...) -> (N, size, size, ...), corner rule."""
    rows = np.arange(size) * maps.shape[1] // size
    columns = np.arange(size) * maps.shape[2] // size
    return maps[:, rows][:, :, columns]


def reduce_features(features: np.ndarray, dim: int) -> np.ndarray:
    """Standardise and PCA of all tokens (n, C), in memory."""
    import faiss
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    pca = faiss.PCAMatrix(features.shape[1], dim)
    pca.train(features)
    return pca.apply(features)


def cluster(features: np.ndarray, k: int, spherical: bool = False, seed: int = 0, niter: int = 100,
            nredo: int = 5) -> np.ndarray:
    """faiss k-means with its defaults, every token assigned."""
    import faiss
    model = faiss.Kmeans(features.shape[1], k, niter=niter, nredo=nredo, seed=seed, spherical=spherical,
                         min_points_per_centroid=1)
    model.train(features)
    return model.index.search(features, 1)[1][:, 0]


def precisions(clusters: np.ndarray, masks: np.ndarray, k: int) -> np.ndarray:
    """(K,): mean over the images with a cluster of its share inside the mask; a loop over clusters and images."""
    result = np.zeros(k)
    for index in range(k):
        shares = []
        for labels, mask in zip(clusters, masks, strict=True):
            inside = labels == index
            if inside.any():
                shares.append((inside & (mask > 0)).sum() / inside.sum())
        result[index] = np.mean(shares) if shares else 0
    return result


def published_threshold(values: np.ndarray, clusters: np.ndarray, gt: np.ndarray, low: float = 0.55,
                        high: float = 0.75) -> float:
    """The precision of the best cut by ground truth, rounded to 0.05; a loop over cuts and images."""
    order = np.argsort(values, kind='stable')
    best, threshold = -1., 0.
    for start in range(int(low * len(values)), int(high * len(values))):
        chosen = order[start:]
        scores = []
        for labels, truth in zip(clusters, gt, strict=True):
            inside, real = np.isin(labels, chosen), truth != 0
            either = (inside | real).sum()
            scores.append((inside & real).sum() / either if either else 1.)
        if np.mean(scores) > best:
            best, threshold = np.mean(scores), values[order[start]]
    return round(threshold / 0.05) * 0.05


def cooccurrence(clusters: np.ndarray, k: int) -> np.ndarray:
    """(K, K): one grey-level co-occurrence matrix an image (8 bits: at most 256 clusters), normalised in Python."""
    from skimage.feature import graycomatrix
    total, images = np.zeros((k, k)), np.zeros(k)
    for labels in clusters:
        matrix = graycomatrix(labels.astype(np.uint8), [1, 2], list(PUBLISHED_ANGLES), levels=256)
        matrix = matrix.sum(axis=(2, 3)).astype(np.float64)[:k, :k]
        np.fill_diagonal(matrix, 0)
        for row in range(k):
            size = matrix[row].sum()
            if size > 0:
                total[row] += matrix[row] / size
                images[row] += 1
    return total / np.maximum(images, 1)[:, None]


def hungarian_miou(pred: np.ndarray, gt: np.ndarray, num_pred: int, num_gt: int) -> float:
    """mIoU after Hungarian matching; a loop over clusters and classes, each over all pixels."""
    valid = gt != 255
    pred, gt = pred[valid], gt[valid]
    iou = np.zeros((num_pred, num_gt))
    for cluster_id in range(num_pred):
        for class_id in range(num_gt):
            inside, real = pred == cluster_id, gt == class_id
            iou[cluster_id, class_id] = (inside & real).sum() / max((inside | real).sum(), 1)
    rows, columns = linear_sum_assignment(1 - iou)
    merged = np.zeros_like(pred)
    for row, column in zip(rows, columns, strict=True):
        merged[pred == row] = column
    scores = [((merged == index) & (gt == index)).sum() / max(((merged == index) | (gt == index)).sum(), 1e-8)
              for index in range(num_gt)]
    return float(np.mean(scores))
