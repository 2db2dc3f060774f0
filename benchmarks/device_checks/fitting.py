"""Fits and searches on a device and on the CPU."""

import torch
from torch import Tensor

from benchmarks.device_checks import Comparison, device_check, relative_difference, unequal_share

K, CHANNELS = 40, 64


def _points(count: int, seed: int = 0, groups: int = K) -> Tensor:
    """(count, CHANNELS): noise around some centres."""
    centres = torch.randn(groups, CHANNELS, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed + 1)
    chosen = torch.randint(0, groups, (count, ), generator=generator)
    return centres[chosen] + 0.7 * torch.randn(count, CHANNELS, generator=generator)


@device_check('k-means')
def k_means(device: torch.device) -> list[Comparison]:
    """K = 40 on 10,000 points, two runs: objective, and labels of the points."""
    from leopart_mm.clustering.kmeans import assign, inertia, kmeans
    points = _points(10_000)
    expected, found = kmeans(points, K, redo=2), kmeans(points.to(device), K, redo=2)
    return [Comparison('objective, relative', abs(inertia(points, found.cpu()) / inertia(points, expected) - 1), 1e-4),
            Comparison('labels of the points, share that differs',
                       unequal_share(assign(points.to(device), found), assign(points, expected)), 1e-2)]


@device_check('PCA')
def pca(device: torch.device) -> list[Comparison]:
    """Mean, deviation and covariance of 10,000 points, and the span of 16 directions."""
    from leopart_mm.clustering.moments import Moments
    from leopart_mm.clustering.pca import principal_directions
    points, results = _points(10_000), []
    for where in (torch.device('cpu'), device):
        moments = Moments()
        for part in points.to(where).split(1000):
            moments.update(part)
        results.append((moments.mean, moments.std(), moments.covariance(),
                        principal_directions(moments.covariance(), 16)[0]))
    expected, found = results
    turned = torch.linalg.svdvals(found[3].cpu() @ expected[3].cpu().T)
    names = ('mean', 'deviation', 'covariance')
    return [*(Comparison(f'{name}, relative', relative_difference(a, b), 1e-5)
              for name, a, b in zip(names, found, expected, strict=False)),
            Comparison('directions, 1 - smallest cosine between the spans', 1 - float(turned.min()), 1e-6)]


@device_check('CBFE')
def cbfe(device: torch.device) -> list[Comparison]:
    """Precisions of 40 clusters on 64 label maps."""
    from leopart_mm.clustering.foreground import ForegroundCounts, cluster_sizes
    labels, masks = _maps()
    expected = ForegroundCounts.of_images(*cluster_sizes(labels, masks, K)).precisions
    found = ForegroundCounts.of_images(*cluster_sizes(labels.to(device), masks.to(device), K)).precisions
    return [Comparison('precisions, largest difference', float((found.cpu() - expected).abs().max()), 1e-9)]


@device_check('co-occurrence')
def cooccurrence(device: torch.device) -> list[Comparison]:
    """The matrix of 40 clusters on 64 label maps."""
    from leopart_mm.clustering.cooccurrence import CoOccurrence
    labels, matrices = _maps()[0], []
    for where in (torch.device('cpu'), device):
        counter = CoOccurrence(K)
        for part in labels.to(where).split(16):
            counter.update(part)
        matrices.append(torch.as_tensor(counter.matrix))
    return [Comparison('matrix, largest difference', float((matrices[1] - matrices[0]).abs().max()), 1e-9)]


@device_check('retrieval')
def retrieval(device: torch.device) -> list[Comparison]:
    """10 neighbours of 500 queries among 20,000 keys of unit length."""
    from leopart_mm.retrieval.search import search
    keys, queries = (torch.nn.functional.normalize(_points(count, seed), dim=1) for count, seed in
                     ((20_000, 1), (500, 2)))
    values, rows = search(queries, keys, 10)
    found, found_rows = search(queries.to(device), keys.to(device), 10)
    return [Comparison('cosines, largest difference', float((found.cpu() - values).abs().max()), 1e-5),
            Comparison('neighbours, share that differs', unequal_share(found_rows.sort(1)[0], rows.sort(1)[0]), 1e-2)]


def _maps() -> tuple[Tensor, Tensor]:
    from benchmarks.unsupervised import label_fields
    return (torch.from_numpy(label_fields(64, K)),
            torch.from_numpy((label_fields(64, 2, seed=1) > 0).astype('float32')))
