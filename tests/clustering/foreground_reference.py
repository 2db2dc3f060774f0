"""The published threshold search as it is described: mask by mask, cut by cut."""

import torch


def cluster_precisions(clusters, foreground, num_clusters):
    """Mean over the images where a cluster occurs of its share inside the masks; clusters (N, h, w)."""
    shares = [[] for _ in range(num_clusters)]
    for labels, mask in zip(clusters, foreground, strict=True):
        for cluster in labels.unique().tolist():
            shares[cluster].append(float((mask[labels == cluster] != 0).double().mean()))
    return torch.tensor([sum(values) / max(len(values), 1) for values in shares], dtype=torch.float64)


def jaccard(pred, gt):
    """Mean over images of the Jaccard index of two masks (N, ...), non-zero is foreground; 1 where both are empty."""
    values = []
    for inside, truth in zip(pred != 0, gt != 0, strict=True):
        either = int((inside | truth).sum())
        values.append(int((inside & truth).sum()) / either if either else 1.)
    return sum(values) / len(values)


def published_threshold(precisions, clusters, gt, low=0.55, high=0.75):
    """The precision, rounded to a multiple of 0.05, of the cut of best mean Jaccard with ground truth."""
    number = len(precisions)
    order = precisions.argsort(stable=True).tolist()
    cuts = range(int(low * number), int(high * number))
    found = [jaccard(torch.isin(clusters, torch.tensor(order[cut:])), gt) for cut in cuts]
    return round(float(precisions[order[cuts[found.index(max(found))]]]) / 0.05) * 0.05
