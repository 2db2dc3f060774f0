"""What a stage is fitted on: predictions of the stages before, made once per image, and what it requests."""

import pytest
import torch
from mmengine.dataset import DefaultSampler, pseudo_collate
from mmseg.structures import SegDataSample
from torch import nn
from torch.utils.data import DataLoader

from leopart_mm.models.fitting.requests import Requests
from leopart_mm.models.fitting.stage_stream import StageStream
from leopart_mm.models.fitting.stream import FeatureStream
from leopart_mm.models.postprocessors import BasePostprocessor
from leopart_mm.models.segmentors import UnsupervisedSegmentor
from leopart_mm.registry import MODELS

IMAGES = 6


class Patches(nn.Module):
    """Mean colour of each 4x4 patch; counts the images."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.images = 0

    def forward(self, image):
        self.images += len(image)
        return (nn.functional.avg_pool2d(image, 4) * self.scale, )


@MODELS.register_module(force=True)
class Watch(BasePostprocessor):
    """Notes what a batch holds when it is fitted and applied; adds 1 to the labels, modulo 4."""

    def __init__(self, asks=Requests(reduced=True)):  # noqa: B008 - frozen
        super().__init__()
        self.asks = asks
        self.fitted_on, self.applied_to = [], 0

    def requests(self, fitting=False, pictures=False):
        return self.asks

    def fit(self, stream):
        self.fitted_on = [self.note(batch) for batch in stream]

    def note(self, batch):
        return dict(maps=batch.features.maps[0].shape[1], reduced=batch.features.reduced.clone(),
                    labels=batch.prediction.labels.clone(), images=None if batch.inputs is None else len(batch.inputs))

    def forward(self, prediction, batch):
        self.applied_to += len(batch)
        return prediction.with_labels((prediction.labels + 1) % 4, 4)


class Images(torch.utils.data.Dataset):

    def __len__(self):
        return IMAGES

    def __getitem__(self, index):
        image = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(index)) * 9
        return dict(inputs=image, data_samples=SegDataSample(metainfo=dict(img_path=f'{index}.jpg')))


def chain(asks=None, cache='memory'):
    """A model of two watching stages, and a stream of images for it."""
    stages = dict(first=dict(type='leopart_mm.Watch'),
                  second=dict(type='leopart_mm.Watch', **({} if asks is None else dict(asks=asks))))
    head = dict(type='leopart_mm.OverclusterHead', num_clusters=4, seeds=2, pca_dim=2, nredo=2, niter=5)
    model = UnsupervisedSegmentor(Patches(), head, postprocessors=stages,
                                  data_preprocessor=dict(type='mmseg.SegDataPreProcessor', size_divisor=1)).eval()
    loader = DataLoader(Images(), 4, sampler=DefaultSampler(Images(), shuffle=False), collate_fn=pseudo_collate)
    return model, FeatureStream(model, loader, cache=cache)


def same(ours, theirs):
    return all(torch.equal(one[name], two[name]) for one, two in zip(ours, theirs, strict=True)
               for name in ('reduced', 'labels'))


@pytest.mark.parametrize('cache', ['memory', 'disk'])
def test_stages_get_the_same_from_the_cache_and_run_once(cache):
    (model, stream), (other, uncached) = chain(cache=cache), chain(cache=None)
    model.fit(stream)
    other.fit(uncached)
    assert model.backbone.images == IMAGES
    assert other.backbone.images == 3 * IMAGES
    for name in ('first', 'second'):
        assert same(model.postprocessors[name].fitted_on, other.postprocessors[name].fitted_on)
    assert model.postprocessors['first'].applied_to == IMAGES
    assert [note['maps'] for note in model.postprocessors['second'].fitted_on] == [0, 0]  # reduced features will do


def test_a_stage_that_requests_maps_gets_them_and_the_network_still_runs_once():
    (model, stream), (other, uncached) = chain(Requests(maps=True)), chain(Requests(maps=True), None)
    model.fit(stream)
    other.fit(uncached)
    assert model.backbone.images == IMAGES
    assert [note['maps'] for note in model.postprocessors['second'].fitted_on] == [3, 3]
    assert same(model.postprocessors['second'].fitted_on, other.postprocessors['second'].fitted_on)


def test_a_stage_that_requests_images_gets_them_and_the_network_still_runs_once():
    model, stream = chain(Requests(images=True))
    model.fit(stream)
    assert model.backbone.images == IMAGES
    assert [note['images'] for note in model.postprocessors['first'].fitted_on] == [None, None]
    assert [note['images'] for note in model.postprocessors['second'].fitted_on] == [4, 2]


def test_after_all_stages_batches_carry_the_last_prediction():
    model, stream = chain()
    model.fit(stream)
    found = [batch.prediction for batch in StageStream(model, stream)]
    before = [note['labels'] for note in model.postprocessors['second'].fitted_on]
    assert all(torch.equal(now.labels, (then + 1) % 4) for now, then in zip(found, before, strict=True))
    assert {prediction.num_labels for prediction in found} == {4}
