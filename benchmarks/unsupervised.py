"""Fully unsupervised segmentation after feature extraction: CBFE, co-occurrence, the whole chain."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from benchmarks import published_unsupervised as published
from benchmarks.base import Benchmark, benchmark
from benchmarks.memory import PeakMemory
from leopart_mm.masks import MaskInputs, MaskSource

GRID = 28
NUM_CLASSES = 21
KMEANS_SEEDS = 5


def label_fields(images: int, num_labels: int, seed: int = 0, grid: int = GRID) -> np.ndarray:
    """(N, grid, grid) label maps of smooth regions; every image has a handful of labels."""
    import cv2
    generator = np.random.default_rng(seed)
    result = np.empty((images, grid, grid), np.int64)
    for index in range(images):
        present = generator.choice(num_labels, size=min(num_labels, 24), replace=False)
        fields = generator.standard_normal((7, 7, len(present)), np.float32)
        result[index] = present[cv2.resize(fields, (grid, grid)).reshape(grid, grid, -1).argmax(axis=-1)]
    return result


class _Maps(Benchmark):
    """Label maps of 200 clusters on 28x28 cells, compared at 100x100."""
    threads = 1
    clock = 'cpu'
    clusters: int = 200

    def setup(self, quick: bool) -> None:
        """Label maps and noisy masks."""
        self.images = 8 if quick else 500
        self.labels = label_fields(self.images, self.clusters)
        self.masks = (label_fields(self.images, 2, seed=1) > 0).astype(np.float32)
        self.given = [torch.from_numpy(maps).to(self.device) for maps in (self.labels, self.masks)]


@benchmark('cbfe')
class CBFEBenchmark(_Maps):
    """Cluster precisions against noisy masks: 500 images, 200 clusters."""

    expected = 30.
    compared = 'precisions, within 1e-9'
    devices = ('cpu', 'cuda')  # the other side has no path there

    def ours(self) -> np.ndarray:
        """Counts of cells, weighted by their pixels."""
        from leopart_mm.clustering.foreground import ForegroundCounts, cluster_sizes
        from leopart_mm.geometry.cell_counts import pixels_per_cell
        weights = torch.from_numpy(pixels_per_cell((GRID, GRID), (100, 100)).copy()).to(self.device)
        counts = ForegroundCounts(*torch.zeros(4, self.clusters, dtype=torch.float64, device=self.device))
        for start in range(0, self.images, 16):
            batch = slice(start, start + 16)
            sizes = cluster_sizes(self.given[0][batch], self.given[1][batch], self.clusters, weights)
            counts += ForegroundCounts.of_images(*sizes)
        return counts.precisions.cpu().numpy()

    def baseline(self) -> np.ndarray:
        """Loops over clusters and images at 100x100."""
        return published.precisions(published.resize_nearest(self.labels), published.resize_nearest(self.masks),
                                    self.clusters)

    def same(self, ours: np.ndarray, baseline: np.ndarray) -> bool:
        """Precisions."""
        return bool(np.allclose(ours, baseline, atol=1e-9))


@benchmark('cooccurrence')
class CoOccurrenceBenchmark(_Maps):
    """The co-occurrence matrix of 500 label maps, 150 clusters, distances 1 and 2, 8 angles."""

    expected = 25.
    clusters = 150
    compared = 'the matrix, within 1e-9'
    devices = ('cpu', 'cuda')  # the other side has no path there

    def ours(self) -> np.ndarray:
        """Counts of neighbouring cells."""
        from leopart_mm.clustering.cooccurrence import CoOccurrence
        counter = CoOccurrence(self.clusters)
        for start in range(0, self.images, 16):
            counter.update(self.given[0][start:start + 16])
        return counter.matrix

    def baseline(self) -> np.ndarray:
        """One scikit-image matrix an image."""
        return published.cooccurrence(published.resize_nearest(self.labels), self.clusters)

    def same(self, ours: np.ndarray, baseline: np.ndarray) -> bool:
        """The matrix."""
        return bool(np.allclose(ours, baseline, atol=1e-9))


class FeatureSource:
    """A generated data set of features with attention-like masks and ground truth, made batch by batch.

    Args:
        images: Number of images.
        channels: C.
        parts: Number of kinds of regions; three make an object class, the last tenth is background.
        batch: Images per batch.
        keep: Hold all features in memory (both sides of a comparison read the same ones).
        device: Where the batches lie.
    """

    def __init__(self, images: int, channels: int = 192, parts: int = 200, batch: int = 20, keep: bool = False,
                 seed: int = 0, device: str = 'cpu') -> None:
        generator = np.random.default_rng(seed)
        self.images, self.batch, self.parts, self.channels, self.seed = images, batch, parts, channels, seed
        self.device = device
        self.centres = generator.normal(size=(parts, channels)).astype(np.float32)
        self.kept = [self._make(start) for start in range(0, images, batch)] if keep else None

    def _make(self, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        number = min(self.batch, self.images - start)
        labels = label_fields(number, self.parts, seed=self.seed + start + 1)
        noise = np.random.default_rng((self.seed, start))
        features = self.centres[labels] + noise.standard_normal((*labels.shape, self.channels), np.float32)
        gt = np.where(labels < self.parts // 2, labels % (NUM_CLASSES - 1) + 1, 0)
        masks = ((gt > 0) ^ (noise.random(gt.shape) < 0.15)).astype(np.float32)
        return features, masks, gt

    def __iter__(self) -> Iterator[Any]:
        """FeatureBatches; the noisy masks are their `inputs`."""
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample

        from leopart_mm.models.backbones.features import DenseFeatures
        from leopart_mm.models.fitting.feature_batch import FeatureBatch
        starts = range(0, self.images, self.batch)
        for index, start in enumerate(starts):
            features, masks, gt = self.kept[index] if self.kept else self._make(start)
            maps = torch.from_numpy(features).permute(0, 3, 1, 2).to(self.device)
            samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.from_numpy(label_map)[None])) for label_map in gt]
            yield FeatureBatch(DenseFeatures((maps, ), (GRID, GRID)), samples,
                               [str(start + offset) for offset in range(len(gt))], [(0, GRID, 0, GRID)] * len(gt),
                               inputs=torch.from_numpy(masks).to(self.device))


class _GivenMasks(MaskSource):

    def __call__(self, inputs: MaskInputs) -> torch.Tensor:
        return inputs.images


def our_chain(source: FeatureSource, threshold: str = 'published', clusters: int = 200, parts: int = 149,
              redo: int = 5, steps: int = 100, seed: int = 0) -> dict[str, Any]:
    """The chain on streamed features with one seed of both k-means; mIoU per seed of Infomap, seconds per stage."""
    from leopart_mm.clustering.contingency import cell_histogram, table_from_cells
    from leopart_mm.clustering.matching import scores
    from leopart_mm.geometry.patch_grid import cell_indices, upsample_labels
    from leopart_mm.models import UnsupervisedSegmentor
    from leopart_mm.models.fitting.stage_stream import StageStream
    model = UnsupervisedSegmentor(
        torch.nn.Identity(),
        dict(type='leopart_mm.OverclusterHead', num_clusters=clusters, seeds=[seed], spherical=True, niter=steps,
             nredo=redo),
        postprocessors=dict(
            foreground=dict(type='leopart_mm.CBFE', masks=_GivenMasks(), threshold=threshold),
            clusters=dict(type='leopart_mm.ForegroundClustering', num_clusters=parts, seeds=[seed], niter=steps,
                          nredo=redo),
            communities=dict(type='leopart_mm.CommunityDetection', weight_threshold=0.02))).eval().to(source.device)
    seconds, start = {}, time.perf_counter()

    def lap(name: str) -> None:
        nonlocal start
        seconds[name], start = time.perf_counter() - start, time.perf_counter()

    with torch.no_grad():
        model.decode_head.fit(source)
        lap('clusters')
        for name, stage in model.postprocessors.items():
            stage.fit(StageStream(model, source, name))
            lap(type(stage).__name__)
        cells = cell_indices((GRID, GRID), (100, 100), None, 'corner')
        tables: Any = 0
        for batch in source:
            labels = model.run_stages(batch).labels.cpu()
            for index, sample in enumerate(batch.data_samples):
                gt = upsample_labels(sample.gt_sem_seg.data[0], (100, 100), rule='corner')
                histogram = cell_histogram(gt, cells, GRID * GRID, NUM_CLASSES)
                tables = tables + table_from_cells(labels[:, index].flatten(1), histogram, model.num_labels)
        miou = [scores(table.numpy(), 'hungarian').miou for table in tables]
        lap('scores')
    return dict(miou=miou, seconds=seconds, threshold=float(model.postprocessors['foreground'].thresholds[0]))


def published_chain(source: FeatureSource, clusters: int = 200, parts: int = 149, redo: int = 5, steps: int = 100,
                    seed: int = 0, seeds: int = 10) -> dict[str, Any]:
    """The chain as published, on the same features, all in memory; otherwise as `our_chain`."""
    from leopart_mm.clustering.communities import find_communities
    from leopart_mm.clustering.cooccurrence import cooccurrence_edges
    seconds, start = {}, time.perf_counter()

    def lap(name: str) -> None:
        nonlocal start
        seconds[name], start = time.perf_counter() - start, time.perf_counter()

    features = np.concatenate([kept[0] for kept in source.kept]).reshape(-1, source.channels)
    masks = published.resize_nearest(np.concatenate([kept[1] for kept in source.kept]))
    gt = published.resize_nearest(np.concatenate([kept[2] for kept in source.kept]))
    features = published.reduce_features(features, 50)
    labels = published.cluster(features, clusters, True, seed, steps, redo)
    labels = published.resize_nearest(labels.reshape(-1, GRID, GRID))
    lap('clusters')
    values = published.precisions(labels, masks, clusters)
    threshold = published.published_threshold(values, labels, gt)
    foreground = (values >= threshold - 1e-9)[labels]
    lap('CBFE')
    large = published.resize_nearest(features.reshape(-1, GRID, GRID, 50))
    maps = np.full(labels.shape, parts)
    maps[foreground] = published.cluster(large[foreground], parts, False, seed, steps, redo)
    lap('ForegroundClustering')
    edges = cooccurrence_edges(published.cooccurrence(maps, parts + 1), 0.02)
    found = [find_communities(edges, parts + 1, number, 2., 20) for number in range(seeds)]
    lap('CommunityDetection')
    miou = [published.hungarian_miou(result.labels[maps], gt, int(result.labels.max()) + 1, NUM_CLASSES)
            for result in found]
    lap('scores')
    return dict(miou=miou, seconds=seconds, threshold=threshold)


@benchmark('unsupervised-chain')
class ChainBenchmark(Benchmark):
    """Clusters, CBFE, foreground clusters, communities, Hungarian mIoU: five k-means seeds, on the same features."""

    expected = 80.
    rounds = 1
    repeats = 1
    warm_up = False
    devices = ('cpu', 'cuda')  # the other side has no path there
    full_size = '366 images and 5 k-means runs of which the best counts, instead of 92 and 1'
    threads = 1
    clock = 'cpu'
    compared = 'mean mIoU of the k-means seeds, within 3 standard errors of its difference (see above)'

    def setup(self, quick: bool) -> None:
        """Features of 92 images (a sixteenth of VOC train) of 28x28 patches, 96 channels; imports of either side."""
        import skimage.feature

        import leopart_mm.models.segmentors.unsupervised_segmentor
        from leopart_mm.clustering.communities import require_infomap
        require_infomap()
        del skimage, leopart_mm
        self.source = FeatureSource(10 if quick else 366 if self.full else 92, channels=96, keep=True,
                                    device=self.device)
        self.options = dict(clusters=20, parts=15, redo=1, steps=5) if quick else dict(redo=5 if self.full else 1)

    def ours(self) -> dict[str, Any]:
        """Streamed in batches."""
        return _of_seeds(our_chain(self.source, seed=seed, **self.options) for seed in range(KMEANS_SEEDS))

    def baseline(self) -> dict[str, Any]:
        """All features in memory."""
        return _of_seeds(published_chain(self.source, seed=seed, **self.options) for seed in range(KMEANS_SEEDS))

    def same(self, ours: dict[str, Any], baseline: dict[str, Any]) -> bool:
        """Mean mIoU; the bound follows from the spread over the k-means seeds."""
        for side, result in (('ours', ours), ('baseline', baseline)):
            print(f'{side}: mIoU of the k-means seeds {np.round(100 * result["miou"], 2)}, mean '
                  f'{100 * result["miou"].mean():.2f}; seconds by stage {result["seconds"]}')
        bound = difference_bound(ours['miou'], baseline['miou'])
        difference = ours['miou'].mean() - baseline['miou'].mean()
        print(f'difference of the means: {100 * difference:+.2f} points, allowed: {100 * bound:.2f} (3 standard '
              'errors)')
        return abs(difference) <= bound

    def details(self) -> list[str]:
        """Our time and memory at growing numbers of images, features generated batch by batch."""
        if len(self.source.kept) < 2:
            return []
        self.source = None
        lines = ['features made batch by batch (time includes making them, 5 passes):']
        for images in (500, 1000, 2000) if self.full else (100, 200):
            memory, start = PeakMemory(), time.perf_counter()
            our_chain(FeatureSource(images, device=self.device), 'chance', **self.options)
            lines.append(f'{images:5d} images: {time.perf_counter() - start:6.1f} s, peak {memory.peak_mb():6.0f} MB')
        return lines


def _of_seeds(results: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """mIoU of each k-means seed (mean over Infomap's), and the sum of the seconds of each stage."""
    results = list(results)
    seconds = {name: sum(result['seconds'][name] for result in results) for name in results[0]['seconds']}
    return dict(miou=np.array([np.mean(result['miou']) for result in results]), seconds=_rounded(seconds))


def difference_bound(first: np.ndarray, second: np.ndarray) -> float:
    """Three standard errors of the difference between the means of two samples (n,), from their own spread."""
    return 3 * float(np.sqrt(first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second)))


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in seconds.items()}
