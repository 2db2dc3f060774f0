"""A small segmentor with all stages, and feature batches whose objects are known."""

from collections.abc import Iterator

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

import leopart_mm.models  # noqa: F401
from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.segmentors import UnsupervisedSegmentor

GRID = 8
PARTS = 7  # 0: background; 1, 2: parts of object 1; 3, 4 of 2; 5, 6 of 3
OBJECT = torch.tensor([0, 1, 1, 2, 2, 3, 3])


def part_map(index: int) -> torch.Tensor:
    """(8, 8) parts of scene `index`: one object of two parts, one above the other, moves over the background."""
    labels = torch.zeros(GRID, GRID, dtype=torch.long)
    first = 2 * (index % 3) + 1
    top, left = index % 4, (index * 3) % 5
    labels[top:top + 2, left:left + 3] = first
    labels[top + 2:top + 4, left:left + 3] = first + 1
    return labels


class Scenes:
    """A stream of `count` scenes; a process of several reads every `world`-th."""

    def __init__(self, count: int = 12, batch: int = 4, rank: int = 0, world: int = 1, noise: float = 0.05,
                 truth: bool = True) -> None:
        self.indices = list(range(count))[rank::world]
        self.batch, self.noise, self.truth = batch, noise, truth

    def __iter__(self) -> Iterator[FeatureBatch]:
        for start in range(0, len(self.indices), self.batch):
            yield scene_batch(self.indices[start:start + self.batch], self.noise, self.truth)


def scene_batch(indices: list[int], noise: float = 0.05, truth: bool = True) -> FeatureBatch:
    """Features are the part's unit vector (PARTS channels and one of noise); attention is high on objects."""
    parts = torch.stack([part_map(index) for index in indices])
    maps = torch.nn.functional.one_hot(parts, PARTS + 1).permute(0, 3, 1, 2).float()
    attention = (parts > 0).float() + 0.01
    for index, features in zip(indices, maps, strict=True):
        features += noise * torch.randn(features.shape, generator=torch.Generator().manual_seed(index))
    attention = (attention / attention.sum((1, 2), keepdim=True)).flatten(1)[:, None].repeat(1, 2, 1)
    samples = []
    for index, one in zip(indices, parts, strict=True):
        sample = SegDataSample(metainfo=dict(split='train' if index % 2 else 'val'))
        if truth:
            sample.gt_sem_seg = PixelData(data=OBJECT[one][None])
        samples.append(sample)
    return FeatureBatch(DenseFeatures((maps, ), (GRID, GRID), cls_attention=attention), samples,
                        [f'scene_{index}' for index in indices], [Extent(0, GRID, 0, GRID)] * len(indices))


CBFE = dict(type='leopart_mm.CBFE', masks=dict(type='leopart_mm.AttentionMasks', mass=0.8))
CLUSTERING = dict(type='leopart_mm.ForegroundClustering', num_clusters=6, niter=20)
# The background touches each part in a third of the images only, so its edges are weaker than 0.2.
COMMUNITIES = dict(type='leopart_mm.CommunityDetection', weight_threshold=0.2, markov_time=1., preferred_modules=3,
                   seeds=3)


def segmentor(*stages: dict, **head: object) -> UnsupervisedSegmentor:
    """Without a backbone: batches already hold features."""
    head = dict(dict(type='leopart_mm.OverclusterHead', num_clusters=PARTS, seeds=1, pca_dim=None, standardise=False,
                     niter=20, nredo=20), **head)
    return UnsupervisedSegmentor(nn.Identity(), head, postprocessors=stages).eval()


def whole_chain() -> UnsupervisedSegmentor:
    """Head, CBFE, foreground clustering, communities."""
    return segmentor(CBFE, CLUSTERING, COMMUNITIES)
