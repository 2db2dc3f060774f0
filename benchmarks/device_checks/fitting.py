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


@device_check('principal masks')
def principal_masks_of_scenes(device: torch.device) -> list[Comparison]:
    """PriMaPs' masks of 6 images of 16 x 16 cells: anchors and soft masks."""
    from benchmarks.primaps import scenes
    from leopart_mm.masks.principal import principal_masks
    features = scenes(6, CHANNELS, 16)
    expected, found = principal_masks(features), principal_masks(features.to(device))
    pairs = [(a, b) for a, b in zip(found, expected, strict=True) if len(a) == len(b)]
    anchors, soft = ([torch.cat([getattr(pair[side], name).cpu() for pair in pairs]) for side in (0, 1)]
                     for name in ('anchors', 'soft_masks'))
    return [Comparison('images with another number of masks', float(len(expected) - len(pairs)), 0.),
            Comparison('anchors, share that differs', unequal_share(*anchors), 0.01),
            Comparison('soft masks, relative', relative_difference(*soft), 1e-3)]


@device_check('dense CRF')
def crf(device: torch.device) -> list[Comparison]:
    """Marginals of 5 labels on 96 x 80 pixels of smooth colours."""
    from leopart_mm.masks.crf import dense_crf
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(1, 3, 6, 5, generator=generator)
    image = torch.nn.functional.interpolate(small, (96, 80), mode='bilinear')[0].permute(1, 2, 0)
    image, logits = (image * 255).byte(), 2 * torch.randn(5, 12, 10, generator=generator)
    expected, found = dense_crf(logits, image), dense_crf(logits.to(device), image.to(device))
    return [Comparison('marginals, largest difference', float((found.cpu() - expected).abs().max()), 1e-3)]


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
