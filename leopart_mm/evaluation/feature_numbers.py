"""Numbers without labels that say how good dense features are, a value per image.

Each takes features of some images seen twice (`image_views.see_twice`). docs/verdict.md compares them with mIoU.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from leopart_mm.clustering.kmeans import assign, kmeans
from leopart_mm.clustering.moments import Moments
from leopart_mm.clustering.pca import principal_directions
from leopart_mm.evaluation.image_views import SeenTwice

VERDICT_NUMBERS = ('neighbour_overlap', 'coherence', 'colour_dependence')  # see docs/verdict.md for the choice
QUERIES = 24  # patches per image that look for neighbours
NEIGHBOURS = 10
CLUSTERS, CLUSTER_SEEDS = 30, 3
DIMENSIONS = 50
RIDGE = 1e-2


def neighbour_overlap(seen: Sequence[SeenTwice], seed: int = 0) -> Tensor:
    """Whether a patch has the same nearest patches in other images when it is seen in another way.

    Some patches of the second view of each image, and the same places of the first view, look for the 10 most similar
    patches (cosine of centred features) in the first views of all other images.

    Args:
        seen: Features of N images.
        seed: Seed of the choice of patches.

    Returns:
        (N,): share of common neighbours, 0..1, mean over the patches of each image.
    """
    bank = torch.cat([one.first.flatten(0, 1) for one in seen])
    centre = bank.mean(0)
    bank = F.normalize(bank - centre, dim=1)
    ends = np.cumsum([0, *(one.first.shape[0] * one.first.shape[1] for one in seen)])
    generator, found = np.random.default_rng(seed), []
    for index, one in enumerate(seen):
        second, same = one.second.flatten(0, 1), first_at_places(one).flatten(0, 1)
        chosen = torch.from_numpy(generator.permutation(len(second))[:QUERIES])
        neighbours = []
        for vectors in (second, same):
            scores = F.normalize(vectors[chosen] - centre, dim=1) @ bank.T
            scores[:, ends[index]:ends[index + 1]] = -2.
            neighbours.append(scores.topk(NEIGHBOURS, 1).indices)
        common = (neighbours[0][:, :, None] == neighbours[1][:, None]).any(2)
        found.append(common.float().mean())
    return torch.stack(found)


def cluster_numbers(seen: Sequence[SeenTwice], seed: int = 0) -> dict[str, Tensor]:
    """Numbers of k-means clusters of the first views, as overclustering makes them: standardised, PCA to 50.

    Args:
        seen: Features of N images.
        seed: First of three seeds of k-means, over which the numbers are averaged.

    Returns:
        Name -> (N,):
        ``coherence``: how often adjacent patches have one cluster; 0: as often as by chance, 1: always;
        ``view_agreement``: how often the second view of a patch has its cluster; likewise;
        ``image_information``: what a patch's cluster tells about which image it is of, in units of the clusters'
        entropy (pointwise mutual information); 0: nothing.
    """
    first, second = _reduced(seen)
    grids = [tuple(one.first.shape[:2]) for one in seen]
    counts = [rows * columns for rows, columns in grids]
    number = min(CLUSTERS, len(first))
    rounds: list[dict[str, Tensor]] = []
    for offset in range(CLUSTER_SEEDS):
        centroids = kmeans(first, number, seed + offset, iterations=30, redo=1)
        labels, others = assign(first, centroids), assign(second, centroids)
        shares = torch.bincount(labels, minlength=number).double() / len(labels)
        chance = shares.square().sum()
        maps = [part.view(*grid) for part, grid in zip(labels.split(counts), grids, strict=True)]
        coherent = torch.stack([_touching_alike(part) for part in maps])
        same = torch.stack([(_at(part, one.places) == other.view(*grid)).double().mean() for part, one, other, grid in
                            zip(maps, seen, others.split(counts), grids, strict=True)])
        rounds.append(dict(coherence=(coherent - chance) / (1 - chance).clamp_min(1e-9),
                           view_agreement=(same - chance) / (1 - chance).clamp_min(1e-9),
                           image_information=_image_information(maps, shares)))
    return {name: torch.stack([one[name] for one in rounds]).mean(0) for name in rounds[0]}


def colour_dependence(seen: Sequence[SeenTwice]) -> Tensor:
    """How much of the colours of the patches their features tell: R² of a ridge regression over all images.

    Args:
        seen: Features of N images.

    Returns:
        (N,): the part of each image, such that their mean is the R² of all patches together; less is better.
    """
    explained = explained_parts(seen, [one.colours for one in seen])
    return explained * len(explained)


def explained_parts(seen: Sequence[SeenTwice], targets: Sequence[Tensor]) -> Tensor:
    """What a ridge regression on the standardised features of the first views explains of a target per patch.

    Args:
        seen: Features of N images.
        targets: (h, w, channels) of each image.

    Returns:
        (N,) float64: the part that the patches of each image have in R²; their sum is R².
    """
    first = torch.cat([one.first.flatten(0, 1) for one in seen]).double()
    target = torch.cat([one.flatten(0, 1) for one in targets]).double()
    features = torch.cat([(first - first.mean(0)) / (first.std(0) + 1e-6), first.new_ones(len(first), 1)], 1)
    gram = features.T @ features + RIDGE * len(features) * torch.eye(features.shape[1], dtype=torch.double)
    errors = (target - features @ torch.linalg.solve(gram, features.T @ target)).square().sum(1)
    spread = (target - target.mean(0)).square().sum(1)
    counts = [one.first.shape[0] * one.first.shape[1] for one in seen]
    parts = torch.stack([part.sum() for part in (spread - errors).split(counts)])
    return parts / spread.sum().clamp_min(1e-9)


def first_at_places(one: SeenTwice) -> Tensor:
    """(h, w, C): features of the first view at the places of the second view's patches, interpolated bilinearly."""
    return F.grid_sample(one.first.permute(2, 0, 1)[None], (one.places * 2 - 1)[None], align_corners=False,
                         padding_mode='border')[0].permute(1, 2, 0)


def _reduced(seen: Sequence[SeenTwice]) -> tuple[Tensor, Tensor]:
    """Features of the first and of the second views, (n, D) each, standardised and reduced by what the first have."""
    first = torch.cat([one.first.flatten(0, 1) for one in seen])
    second = torch.cat([one.second.flatten(0, 1) for one in seen])
    mean, std = first.mean(0), first.std(0).clamp_min(1e-6)
    first, second = (first - mean) / std, (second - mean) / std
    moments = Moments()
    moments.update(first)
    directions, _ = principal_directions(moments.covariance(), min(DIMENSIONS, first.shape[1]))
    directions = directions.float()
    return first @ directions.T, second @ directions.T


def _touching_alike(labels: Tensor) -> Tensor:
    """Share of adjacent pairs of a map (h, w) with one label; 1 where there is a single patch."""
    equal = torch.cat([(labels[1:] == labels[:-1]).flatten(), (labels[:, 1:] == labels[:, :-1]).flatten()])
    return equal.double().mean() if len(equal) else torch.ones((), dtype=torch.double)


def _at(labels: Tensor, places: Tensor) -> Tensor:
    """Labels of a map (h, w) at places (h, w, 2) in 0..1."""
    height, width = labels.shape
    rows = (places[..., 1] * height).long().clamp(0, height - 1)
    columns = (places[..., 0] * width).long().clamp(0, width - 1)
    return labels[rows, columns]


def _image_information(maps: Sequence[Tensor], shares: Tensor) -> Tensor:
    """(N,): mean over each image's patches of log p(cluster, image) / (p(cluster) p(image)), by the entropy."""
    entropy = torch.special.entr(shares).sum().clamp_min(1e-9)
    found = []
    for labels in maps:
        inside = torch.bincount(labels.flatten(), minlength=len(shares)).double() / labels.numel()
        known = inside > 0
        found.append((inside[known] * torch.log(inside[known] / shares[known])).sum() / entropy)
    return torch.stack(found)


def feature_numbers(seen: Sequence[SeenTwice], seed: int = 0) -> dict[str, Tensor]:
    """All of these numbers: name -> (N,), a value per image. The verdict uses `VERDICT_NUMBERS`."""
    return dict(neighbour_overlap=neighbour_overlap(seen, seed), **cluster_numbers(seen, seed),
                colour_dependence=colour_dependence(seen))
