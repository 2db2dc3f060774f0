"""Numbers without labels that might tell whether features have become better; `study` correlates them."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from leopart_mm.clustering.kmeans import assign, kmeans
from leopart_mm.clustering.moments import Moments
from leopart_mm.clustering.pca import principal_directions
from leopart_mm.evaluation.feature_numbers import explained_parts, feature_numbers, first_at_places
from leopart_mm.evaluation.image_views import SeenTwice


def candidates(seen: list[SeenTwice], clusters: int = 30, seeds: int = 3) -> dict:
    """All numbers of the features of some images; ``per_image``: the values per image of those of the verdict."""
    reduced, reduced_second, eigenvalues = _reduce(seen)
    found = dict(effective_rank=_effective_rank(eigenvalues), top_share=float(eigenvalues[0] / eigenvalues.sum()))
    found.update(_views(seen))
    found.update(_images(seen))
    found.update(_position(seen))
    found.update(_neighbours(seen))
    found.update(_clusterings(seen, reduced, reduced_second, clusters, seeds))
    per_image = feature_numbers(seen)
    found.update({name: float(values.mean()) for name, values in per_image.items()})
    return dict(found, per_image={name: values.tolist() for name, values in per_image.items()})


def _flat(seen: list[SeenTwice], name: str) -> Tensor:
    return torch.cat([getattr(one, name).flatten(0, 1) for one in seen])


def _reduce(seen: list[SeenTwice], dim: int = 50) -> tuple[Tensor, Tensor, Tensor]:
    first, second = _flat(seen, 'first'), _flat(seen, 'second')
    mean, std = first.mean(0), first.std(0) + 1e-6
    moments = Moments()
    moments.update((first - mean) / std)
    values = torch.linalg.eigvalsh(moments.covariance()).flip(0).clamp_min(0)
    directions, _ = principal_directions(moments.covariance(), min(dim, first.shape[1]))
    directions = directions.float()
    return ((first - mean) / std) @ directions.T, ((second - mean) / std) @ directions.T, values


def _effective_rank(values: Tensor) -> float:
    shares = values / values.sum()
    return float(torch.exp(-(shares * torch.log(shares.clamp_min(1e-12))).sum()))


def _views(seen: list[SeenTwice]) -> dict[str, float]:
    """Within an image: does the nearest patch of the other view lie at the same place?"""
    centre = _flat(seen, 'first').mean(0)
    hits, mutual, margins = [], [], []
    for one in seen:
        rows, columns = one.first.shape[:2]
        first = F.normalize((one.first - centre).flatten(0, 1), dim=1)
        second = F.normalize((one.second - centre).flatten(0, 1), dim=1)
        same = F.normalize((first_at_places(one) - centre).flatten(0, 1), dim=1)
        similar = second @ first.T
        nearest = similar.argmax(1)
        place = one.places.flatten(0, 1)
        x, y = place[:, 0] * columns - 0.5, place[:, 1] * rows - 0.5
        distance = torch.hypot((nearest % columns) - x, (nearest // columns) - y)
        hits.append((distance < 1.5).float().mean())
        mutual.append((similar.argmax(0)[nearest] == torch.arange(len(second))).float().mean())
        margins.append((second * same).sum(1).mean() - similar.mean())
    return dict(same_place=float(torch.stack(hits).mean()), mutual_nearest=float(torch.stack(mutual).mean()),
                view_margin=float(torch.stack(margins).mean()))


def _images(seen: list[SeenTwice]) -> dict[str, float]:
    """Share of the variance that lies between images."""
    first = _flat(seen, 'first')
    total = first.var(0, unbiased=False).sum()
    means = torch.stack([one.first.flatten(0, 1).mean(0) for one in seen])
    return dict(between_images=float((means - first.mean(0)).square().sum(1).mean() / total))


def _position(seen: list[SeenTwice]) -> dict[str, float]:
    """R² of a ridge regression of the place in the image on the features."""
    places = [torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, side) for side in one.first.shape[:2]), indexing='ij'),
                          -1) for one in seen]
    return dict(position_r2=float(explained_parts(seen, places).sum()))


def _neighbours(seen: list[SeenTwice], k: int = 10, queries: int = 1500) -> dict[str, float]:
    """Nearest patches in other images: the same ones from both views? from adjacent patches? any hubs?"""
    first = _flat(seen, 'first')
    centre = first.mean(0)
    bank = F.normalize(first - centre, dim=1)
    owner = torch.cat([torch.full((one.first.shape[0] * one.first.shape[1], ), n) for n, one in enumerate(seen)])
    second = F.normalize(_flat(seen, 'second') - centre, dim=1)
    same = F.normalize(torch.cat([first_at_places(one).flatten(0, 1) for one in seen]) - centre, dim=1)
    chosen = torch.from_numpy(np.random.default_rng(0).permutation(len(bank))[:queries])

    def nearest(vectors: Tensor, owners: Tensor, k: int) -> Tensor:
        scores = vectors @ bank.T
        scores[owners[:, None] == owner[None]] = -2
        return scores.topk(k, 1).indices

    ours, theirs = nearest(same[chosen], owner[chosen], k), nearest(second[chosen], owner[chosen], k)
    agree = (ours[:, 0] == theirs[:, 0]).float().mean()
    # adjacent patches: the patch to the right, matched in the same other image nearby
    widths = torch.cat([torch.full((one.first.shape[0] * one.first.shape[1], ), one.first.shape[1]) for one in seen])
    starts = torch.cumsum(torch.tensor([0] + [one.first.shape[0] * one.first.shape[1] for one in seen[:-1]]), 0)
    local = torch.arange(len(bank)) - starts[owner]
    has_right = (local % widths) < widths - 1
    anchors = torch.arange(len(bank))[has_right]
    anchors = anchors[torch.from_numpy(np.random.default_rng(1).permutation(len(anchors))[:queries])]
    here, right = nearest(bank[anchors], owner[anchors], k), nearest(bank[anchors + 1], owner[anchors], k)
    same_images = (owner[here][:, :, None] == owner[right][:, None]).any(2).float().mean()
    top = owner[here[:, 0]] == owner[right[:, 0]]
    column = lambda index: local[index] % widths[index]  # noqa: E731
    row = lambda index: local[index] // widths[index]  # noqa: E731
    close = top & ((column(here[:, 0]) - column(right[:, 0])).abs() <= 2) & (
        (row(here[:, 0]) - row(right[:, 0])).abs() <= 2)
    counts = torch.bincount(here.flatten(), minlength=len(bank)).double()
    skew = ((counts - counts.mean()) ** 3).mean() / counts.std(unbiased=False) ** 3
    return dict(neighbour_agree=float(agree), coherent_images=float(same_images),
                coherent_match=float(close.float().mean()), hubness=float(skew))


def _clusterings(seen: list[SeenTwice], reduced: Tensor, second: Tensor, k: int, seeds: int) -> dict[str, float]:
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    sizes = [one.first.shape[:2] for one in seen]
    counts = [rows * columns for rows, columns in sizes]
    colours = [one.colours for one in seen]
    labels, found = [], []
    for seed in range(seeds):
        centroids = kmeans(reduced, k, seed, iterations=30, redo=1)
        label = assign(reduced, centroids)
        labels.append(label.numpy())
        distances = torch.cdist(reduced, centroids).topk(2, 1, largest=False).values
        explained = 1 - (reduced - centroids[label]).square().sum() / (reduced - reduced.mean(0)).square().sum()
        other = assign(second, centroids)
        maps = [part.view(*size) for part, size in zip(label.split(counts), sizes, strict=True)]
        others = [part.view(*size) for part, size in zip(other.split(counts), sizes, strict=True)]
        at = torch.cat([map_[(one.places[..., 1] * map_.shape[0]).long().clamp(0, map_.shape[0] - 1),
                             (one.places[..., 0] * map_.shape[1]).long().clamp(0, map_.shape[1] - 1)].flatten()
                        for map_, one in zip(maps, seen, strict=True)])
        flat_other = torch.cat([part.flatten() for part in others])
        shares = torch.bincount(label, minlength=k).double() / len(label)
        touching, inside, across = [], [], []
        explained_colour = []
        for map_, colour in zip(maps, colours, strict=True):
            for a, b, ca, cb in ((map_[1:], map_[:-1], colour[1:], colour[:-1]),
                                 (map_[:, 1:], map_[:, :-1], colour[:, 1:], colour[:, :-1])):
                equal, step = (a == b).flatten(), (ca - cb).norm(dim=-1).flatten()
                touching.append(equal.float())
                inside.append(step[equal])
                across.append(step[~equal])
            flat, pixels = map_.flatten(), colour.flatten(0, 1)
            one_hot = F.one_hot(flat, k).float()
            means = (one_hot.T @ pixels) / one_hot.sum(0).clamp_min(1)[:, None]
            explained_colour.append(1 - (pixels - means[flat]).square().sum() / (
                pixels - pixels.mean(0)).square().sum().clamp_min(1e-6))
        entropy = float(-(shares[shares > 0] * torch.log(shares[shares > 0])).sum())
        within = float(1 - torch.cat(touching).mean())
        found.append(dict(
            silhouette=float(((distances[:, 1] - distances[:, 0]) / distances[:, 1].clamp_min(1e-9)).mean()),
            explained=float(explained), view_nmi=float(normalized_mutual_info_score(at, flat_other)),
            view_ari=float(adjusted_rand_score(at, flat_other)), view_same=float((at == flat_other).float().mean()),
            boundary=within,
            edge_ratio=float(torch.cat(across).mean() / torch.cat(inside).mean().clamp_min(1e-6)),
            colour_explained=float(torch.stack(explained_colour).mean()),
            usage=float(np.exp(entropy) / k)))
    result = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
    pairs = [(i, j) for i in range(seeds) for j in range(i)]
    result['seed_ari'] = float(np.mean([adjusted_rand_score(labels[i], labels[j]) for i, j in pairs]))
    result['seed_nmi'] = float(np.mean([normalized_mutual_info_score(labels[i], labels[j]) for i, j in pairs]))
    return result
