"""fit-throughput: points per second of everything that is fitted without gradients, ours beside the published way."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np

from benchmarks.base import Measurement, Option, Report, Table, benchmark

GRID, CHANNELS, REDUCED, CLASSES, NEIGHBOURS = 28, 384, 50, 21, 30
CELLS = GRID * GRID
BATCH = 16
LIMIT = 256  # clusters that the published co-occurrence can count


class Fit(NamedTuple):
    """One row of the table.

    Args:
        name: What is fitted.
        points: How many points (vectors, cells, queries) a call reads.
        ours: The work on the device.
        published: The same work the published way, on the CPU, of `share` of the points.
        share: Share of the points that the published way gets, where it would take minutes.
        compare: Of both results, a few words on how they agree. None: nothing is comparable.
    """

    name: str
    points: int
    ours: Callable[[], Any]
    published: Callable[[], Any]
    share: float = 1.
    compare: Callable[[Any, Any], str] | None = None


@benchmark('fit-throughput')
class FitThroughput(Measurement):
    """k-means, standardising and PCA, nearest centroids, co-occurrence, CBFE, retrieval, PriMaPs' masks: points/s."""

    devices: ClassVar[tuple[str, ...]] = ('cpu', 'cuda')
    full_size: ClassVar[str] = 'k-means of a million points with K = 500 (default: 100,000 with K = 50)'
    threads: ClassVar[int | None] = 1  # the other load of the machine then has no say
    options: ClassVar[dict[str, Option]] = dict(
        redo=Option(1, 'runs of k-means, of which the best counts'),
        iterations=Option(100, 'largest number of steps of a run'),
        baseline=Option(True, 'also measure the published ways'))

    def setup(self, quick: bool) -> None:
        """Points around centres, features and label maps, the same ones for both sides. Imports happen here."""
        import faiss  # noqa: F401
        import skimage.feature  # noqa: F401
        import torch

        import leopart_mm.models  # noqa: F401
        from benchmarks.primaps import scenes
        from benchmarks.unsupervised import label_fields
        self.quick = quick
        self.times = 1 if quick or self.full else 3
        self.clusters, self.points = (5, 2000) if quick else (500, 10**6) if self.full else (50, 10**5)
        self.images, self.of_masks = (4, 2) if quick else (1449, 64) if self.full else (100, 4)
        generator = torch.Generator().manual_seed(0)

        def vectors(number: int, channels: int, kinds: int) -> torch.Tensor:
            centres = torch.randn(kinds, channels, generator=generator)
            chosen = torch.randint(0, kinds, (number, ), generator=generator)
            return centres[chosen] + 1.5 * torch.randn(number, channels, generator=generator)

        self.reduced = vectors(self.points, REDUCED, 2 * self.clusters)
        self.features = vectors(self.images * CELLS, CHANNELS, 60)
        self.labels = label_fields(self.images, min(150, LIMIT))
        self.masks = (label_fields(self.images, 2, seed=1) > 0).astype(np.float32)
        self.scenes = scenes(self.of_masks, CHANNELS, GRID)
        self.on_device = {name: torch.as_tensor(getattr(self, name)).to(self.device)
                          for name in ('reduced', 'features', 'labels', 'masks', 'scenes')}

    def fits(self) -> Iterator[Fit]:
        """The rows."""
        yield Fit(f'k-means, K = {self.clusters}', self.points, self.kmeans, self.faiss_kmeans,
                  compare=self._objectives)
        yield Fit(f'nearest of {self.clusters} centroids', self.points, self.assign, self.faiss_assign,
                  compare=lambda a, b: f'{(a != b).mean():.2%} of the labels differ')
        yield Fit(f'standardise, PCA to {REDUCED}', len(self.features), self.pca, self.faiss_pca,
                  compare=lambda a, b: f'reduced vectors: lengths within {np.abs(a / b - 1).max():.0e}')
        share = min(1., 60 / self.images)
        yield Fit('co-occurrence, 150 clusters', self.images * CELLS, self.cooccurrence, self.graycomatrix, share)
        yield Fit('CBFE, 150 clusters', self.images * CELLS, self.cbfe, self.masked_means, share)
        yield Fit(f'retrieval, {NEIGHBOURS} neighbours', self.queries, self.search, self.faiss_search,
                  compare=lambda a, b: f'{(a != b).mean():.2%} of the neighbours differ')
        yield Fit("PriMaPs' masks", self.of_masks * CELLS, self.primaps, self.published_primaps)

    def measure(self) -> Report:
        """Time every row."""
        from benchmarks.device import least_time
        rows, figures = [], {}
        for fit in self.fits():
            seconds, result = least_time(fit.ours, self.times, self.device)
            row, key = [fit.name, fit.points, seconds, fit.points / seconds, '', '', ''], fit.name.split(',')[0]
            figures[f'{key} points_per_second'], figures[f'{key} seconds'] = fit.points / seconds, seconds
            if self.chosen['baseline']:
                took, other = least_time(fit.published, 1)
                rate = fit.points * fit.share / took
                row[4:6] = [rate, f'{fit.points / seconds / rate:.1f}x']
                row[6] = fit.compare(result, other) if fit.compare else ''
                figures[f'{key} ratio'] = fit.points / seconds / rate
            rows.append(row)
        columns = ['', 'points', 'seconds', 'points/s', 'published: points/s', 'ratio', 'results']
        lines = [f'k-means: {self.chosen["redo"]} runs of at most {self.chosen["iterations"]} steps on all points, in '
                 f'{REDUCED} dimensions; published: faiss. Points of the maps are the cells of {GRID} x {GRID} grids.',
                 'The published ways run on one core of the CPU, ours on one core or on the device.']
        return Report([Table(f'fit-throughput on {self.device}', columns, rows)], figures, lines)

    def kmeans(self) -> Any:
        """Our centroids."""
        from leopart_mm.clustering.kmeans import kmeans
        return kmeans(self.on_device['reduced'], self.clusters, 0, self.chosen['iterations'], self.chosen['redo'],
                      self.points).cpu()

    def faiss_kmeans(self) -> Any:
        """Those of faiss."""
        import faiss
        import torch
        run = faiss.Kmeans(REDUCED, self.clusters, niter=self.chosen['iterations'], nredo=self.chosen['redo'], seed=0,
                           max_points_per_centroid=self.points, min_points_per_centroid=1)
        run.train(self.reduced.numpy())
        return torch.from_numpy(run.centroids)

    def _objectives(self, ours: Any, other: Any) -> str:
        from leopart_mm.clustering.kmeans import inertia
        points = self.on_device['reduced']
        return f'objectives differ by {inertia(points, ours) / inertia(points, other) - 1:+.1e}'

    def assign(self) -> np.ndarray:
        """Our labels, of the first points as centroids."""
        from leopart_mm.clustering.kmeans import assign
        points = self.on_device['reduced']
        return assign(points, points[:self.clusters]).cpu().numpy()

    def faiss_assign(self) -> np.ndarray:
        """Labels by a flat index."""
        import faiss
        index = faiss.IndexFlatL2(REDUCED)
        index.add(self.reduced[:self.clusters].numpy())
        return index.search(self.reduced.numpy(), 1)[1][:, 0]

    def pca(self) -> np.ndarray:
        """Moments image by image, directions, and all vectors reduced: their lengths."""
        import torch

        from leopart_mm.clustering.moments import Moments
        from leopart_mm.clustering.pca import principal_directions
        from leopart_mm.models.decode_heads.overcluster_head import project
        features, moments = self.on_device['features'], Moments()
        for image in features.split(CELLS):
            moments.update(image)
        std = moments.std()
        directions, _ = principal_directions(moments.covariance() / torch.outer(std, std), REDUCED)
        reduced = project(features, moments.mean.to(features), (directions / std).to(features))
        return reduced.norm(dim=1).cpu().numpy()

    def faiss_pca(self) -> np.ndarray:
        """All in memory."""
        from benchmarks.published_unsupervised import reduce_features
        return np.linalg.norm(reduce_features(self.features.numpy(), REDUCED), axis=1)

    def cooccurrence(self) -> np.ndarray:
        """The matrix of batches of maps."""
        from leopart_mm.clustering.cooccurrence import CoOccurrence
        counter = CoOccurrence(150)
        for maps in self.on_device['labels'].split(BATCH):
            counter.update(maps)
        return counter.matrix

    def _some(self, array: np.ndarray) -> np.ndarray:
        from benchmarks.published_unsupervised import resize_nearest
        return resize_nearest(array[:min(self.images, 60)])

    def graycomatrix(self) -> np.ndarray:
        """One matrix of grey levels per image."""
        from benchmarks.published_unsupervised import cooccurrence
        return cooccurrence(self._some(self.labels), 150)

    def cbfe(self) -> np.ndarray:
        """Precisions of the clusters of batches of maps."""
        import torch

        from leopart_mm.clustering.foreground import ForegroundCounts, cluster_sizes
        from leopart_mm.geometry.cell_counts import pixels_per_cell
        from leopart_mm.late_checks import LateChecks
        weights = torch.from_numpy(pixels_per_cell((GRID, GRID), (100, 100)).copy()).to(self.device)
        total, checks = ForegroundCounts(*torch.zeros(4, 150, dtype=torch.float64, device=self.device)), LateChecks()
        for maps, masks in zip(*(self.on_device[name].split(BATCH) for name in ('labels', 'masks')), strict=True):
            total += ForegroundCounts.of_images(*cluster_sizes(maps, masks, 150, weights, checks.add))
        checks.finish()
        return total.precisions.cpu().numpy()

    def masked_means(self) -> np.ndarray:
        """A loop over clusters and images."""
        from benchmarks.published_unsupervised import precisions
        return precisions(self._some(self.labels), self._some(self.masks), 150)

    @property
    def queries(self) -> int:
        """How many vectors look for neighbours among all: those of a few images."""
        return CELLS * min(8, self.images)

    def search(self) -> np.ndarray:
        """Our exact search."""
        import torch.nn.functional as F

        from leopart_mm.retrieval.search import search
        keys = F.normalize(self.on_device['features'], dim=1)
        return search(keys[:self.queries], keys, NEIGHBOURS)[1].cpu().numpy()

    def faiss_search(self) -> np.ndarray:
        """A flat index of faiss."""
        import faiss
        import torch.nn.functional as F
        keys = F.normalize(self.features, dim=1).numpy()
        index = faiss.IndexFlatIP(CHANNELS)
        index.add(keys)
        return index.search(keys[:self.queries], NEIGHBOURS)[1]

    def primaps(self) -> list[Any]:
        """The masks of a batch."""
        from leopart_mm.masks.principal import principal_masks
        return [masks.soft_masks.cpu() for masks in principal_masks(self.on_device['scenes'])]

    def published_primaps(self) -> list[Any]:
        """One image at a time."""
        from benchmarks.published_primaps import published_masks
        return [published_masks(features, 0.4)[0] for features in self.scenes]
