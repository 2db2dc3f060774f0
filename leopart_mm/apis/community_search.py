"""Scores of settings of community detection: K, edge threshold, Markov time."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leopart_mm.clustering.communities import all_seeds
from leopart_mm.clustering.contingency import cell_histogram
from leopart_mm.clustering.cooccurrence import CoOccurrence, cooccurrence_edges
from leopart_mm.clustering.information import image_information
from leopart_mm.clustering.kmeans import assign
from leopart_mm.clustering.kmeans_fit import KMeansSettings, fit_kmeans
from leopart_mm.clustering.matching import scores
from leopart_mm.geometry.cell_counts import pixels_per_cell
from leopart_mm.geometry.patch_grid import cell_indices, upsample_labels
from leopart_mm.models.fitting.feature_batch import FeatureBatch

CRITERIA = ('image-information', 'ground-truth')


@dataclass
class _Image:
    """What is kept of an image."""

    features: Tensor  # (foreground cells, D) float16
    inside: Tensor  # (h, w) bool
    extent: tuple
    histogram: Tensor | None  # (cells, classes), only for 'ground-truth'


class CommunitySearch:
    """Scores settings of foreground clustering and community detection on features that are read once.

    Memory holds the reduced features of the foreground in half precision (about 80 MB for the 2,913 images of VOC).

    Args:
        stream: A StageStream of a segmentor that ends with a fitted CBFE: its batches hold foreground masks as
            `prediction`, and `features.reduced`.
        map_size: Size (h, w) of the maps on which neighbours are counted.
        preferred: Preferred number of communities.
        criterion: 'image-information' (label-free, `image_information`; a setting that gives fewer than half or more
            than twice the preferred number of communities loses in proportion) or 'ground-truth' (published: Hungarian
            mIoU of the train split, over all classes).
        num_classes: Number of classes, for 'ground-truth'.
        split: Metainfo ``split`` of the images whose ground truth counts; None: all.
        seeds: Number of Infomap seeds whose values are averaged.
        niter: Lloyd steps of k-means.
        nredo: Runs of k-means, of which the best is kept.

    Raises:
        ValueError: If the criterion is unknown, there is no foreground, or no image of the split has ground truth.
    """

    def __init__(self, stream: Iterable[FeatureBatch], map_size: tuple[int, int] = (100, 100), preferred: int = 20,
                 criterion: str = 'image-information', num_classes: int = 0, split: str | None = 'train',
                 seeds: int = 3, niter: int = 100, nredo: int = 1) -> None:
        if criterion not in CRITERIA:
            raise ValueError(f'criterion {criterion!r} is unknown; there are: {", ".join(CRITERIA)}.')
        self.map_size, self.preferred, self.criterion = map_size, preferred, criterion
        self.num_classes, self.split, self.seeds = num_classes, split, seeds
        self.niter, self.nredo = niter, nredo
        self.images = [image for batch in stream for image in self._read(batch)]
        if not sum(len(image.features) for image in self.images):
            raise ValueError('No image has any foreground: check CBFE and its masks.')
        if criterion == 'ground-truth' and all(image.histogram is None for image in self.images):
            raise ValueError(f'No image of the split {split!r} has ground truth to search with.')
        self._prepared: dict[int, tuple[CoOccurrence, np.ndarray, list[Tensor]]] = {}

    def _read(self, batch: FeatureBatch) -> Iterable[_Image]:
        for index in range(len(batch)):
            rows, columns, extent = batch.content(index, batch.prediction.grid)
            inside = batch.prediction.labels[0, index, rows, columns] != 0
            features = batch.features.reduced[index, :, rows, columns].permute(1, 2, 0)[inside].half().cpu()
            yield _Image(features, inside.cpu(), extent, self._histogram(batch, index, tuple(inside.shape), extent))

    def _histogram(self, batch: FeatureBatch, index: int, grid: tuple[int, int], extent: tuple) -> Tensor | None:
        if self.criterion != 'ground-truth':
            return None
        sample = batch.data_samples[index]
        if 'gt_sem_seg' not in sample or (self.split is not None and sample.metainfo.get('split') != self.split):
            return None
        gt = upsample_labels(sample.gt_sem_seg.data[0].cpu(), self.map_size, rule='corner')
        cells = cell_indices(grid, self.map_size, extent, 'corner')
        return cell_histogram(gt, cells, grid[0] * grid[1], self.num_classes)

    def score(self, num_clusters: int, weight_threshold: float, markov_time: float) -> dict[str, Any]:
        """`value` (to be maximised) and what led to it: edges, mean number of communities.

        A network without an edge has the value 0.
        """
        counter, pixels, maps = self._clusters(num_clusters)
        edges = cooccurrence_edges(counter.matrix, weight_threshold)
        if not len(edges):
            return dict(value=0., edges=0, modules=0.)
        found = all_seeds(edges, counter.matrix, range(self.seeds), markov_time=markov_time,
                          preferred_modules=self.preferred)
        values = [self._value(communities.labels, pixels, maps) for communities in found]
        modules = float(np.mean([communities.num_modules for communities in found]))
        value = float(np.mean(values))
        if self.criterion == 'image-information':
            value *= min(1., 2 * modules / self.preferred, 2 * self.preferred / max(modules, 1e-9))
        return dict(value=value, edges=len(edges), modules=modules)

    def _value(self, labels: np.ndarray, pixels: np.ndarray, maps: list[Tensor]) -> float:
        if self.criterion == 'image-information':
            return image_information(pixels, labels)
        table = torch.zeros(int(labels.max()) + 1, self.num_classes, dtype=torch.long)
        mapping = torch.from_numpy(labels)
        for clusters, image in zip(maps, self.images, strict=True):
            if image.histogram is not None:
                table.index_add_(0, mapping[clusters.flatten()], image.histogram)
        return scores(table.numpy(), 'hungarian').miou

    def _clusters(self, num_clusters: int) -> tuple[CoOccurrence, np.ndarray, list[Tensor]]:
        """Network counts, pixels (N, K + 1) and label maps for a number of clusters; kept for the next trial."""
        if num_clusters not in self._prepared:
            points = torch.cat([image.features for image in self.images])
            generator = torch.Generator().manual_seed(0)
            chosen = torch.randperm(len(points), generator=generator)[:256 * num_clusters]
            settings = KMeansSettings(num_clusters, seeds=1, niter=self.niter, nredo=self.nredo)
            centroids = fit_kmeans(points[chosen].float(), settings, 'k-means of the search')[0]
            counter = CoOccurrence(num_clusters + 1, size=self.map_size)
            pixels, maps = np.zeros((len(self.images), num_clusters + 1)), []
            for row, image in zip(pixels, self.images, strict=True):
                clusters = torch.full(image.inside.shape, num_clusters)
                if len(image.features):
                    clusters[image.inside] = assign(image.features.float(), centroids)
                counter.update(clusters[None].numpy(), image.extent)
                weights = pixels_per_cell(tuple(clusters.shape), self.map_size, image.extent)
                row += np.bincount(clusters.flatten().numpy(), weights=weights, minlength=num_clusters + 1)
                maps.append(clusters)
            self._prepared[num_clusters] = counter, pixels, maps
        return self._prepared[num_clusters]
