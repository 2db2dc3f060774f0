"""Networks by what they compute, and further networks that are read through the caches of a stream."""

import pytest
import torch
from mmengine.dataset import DefaultSampler, pseudo_collate
from torch import nn
from torch.utils.data import DataLoader

from leopart_mm.models.backbones import DenseViT
from leopart_mm.models.fitting.feature_cache import FeatureCache
from leopart_mm.models.fitting.networks import (
    Network,
    NetworkCaches,
    extents_on_grid,
    model_key,
    network_fingerprint,
)
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.models.fitting.stream import FeatureStream
from leopart_mm.models.postprocessors import BasePostprocessor
from leopart_mm.models.segmentors import UnsupervisedSegmentor
from tests.models.fitting.test_stage_stream import IMAGES, Images

TINY = dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224',
            model_kwargs=dict(img_size=16, patch_size=4, embed_dim=12, depth=2, num_heads=2))
ATTENTION = Requests(attention=True)
KEYS = ['a', 'b', 'c', 'd']
CPU = torch.device('cpu')
pictures = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def vit(**options):
    torch.manual_seed(0)
    return DenseViT(TINY['arch'], TINY['model_kwargs'], **options).eval()


@pytest.fixture
def weights(tmp_path):
    torch.save(vit().state_dict(), tmp_path / 'vit.pth')
    return str(tmp_path / 'vit.pth')


def test_a_fingerprint_tells_what_is_computed_not_where_it_came_from(weights):
    fingerprint = network_fingerprint(vit())
    read = DenseViT(TINY['arch'], TINY['model_kwargs'], checkpoint=weights).eval()
    assert network_fingerprint(read) != fingerprint  # not read yet
    read.init_weights()
    assert network_fingerprint(read) == fingerprint
    changed = vit()
    changed.norm.bias.data[3] += 1e-6
    options = [dict(pos_interp='timm'), dict(size_mode='drop'), dict(final_norm=False), dict(out_indices=0)]
    others = [network_fingerprint(net) for net in (changed, vit().train(), *(vit(**option) for option in options))]
    assert len({fingerprint, *others}) == 7
    assert network_fingerprint(vit(), nn.Linear(2, 2)) != fingerprint  # a neck


def test_an_object_among_the_settings_makes_a_fingerprint_of_its_own():
    first, second = nn.Identity(), nn.Identity()
    assert network_fingerprint(first) == network_fingerprint(second)
    first.helper, second.helper = object(), object()
    assert network_fingerprint(first) != network_fingerprint(second)


def test_a_network_with_a_checkpoint_is_dropped_and_read_again(weights):
    torch.manual_seed(7)
    state = torch.get_rng_state()
    network = Network(dict(TINY, checkpoint=weights))
    expected = vit().forward_dense(pictures, cls_attention=True).cls_attention
    torch.set_rng_state(state)
    assert torch.equal(network(pictures, ATTENTION).cls_attention, expected)
    assert torch.equal(torch.get_rng_state(), state)
    module = network.module
    network.release()
    assert network.module is not module
    assert torch.equal(network(pictures, ATTENTION).cls_attention, expected)
    drawn = Network(TINY)
    module = drawn.module
    drawn.release()
    assert drawn.module is module  # its weights are nowhere else


def test_only_images_that_are_not_kept_are_computed(weights, passes):
    network, caches = Network(dict(TINY, checkpoint=weights)), NetworkCaches('memory')
    expected = vit().forward_dense(pictures, cls_attention=True).cls_attention
    passes.clear()
    metas = [{}] * 4
    assert not caches.has('a', Requests(networks=((network, ATTENTION), )))
    caches.extract(network, ATTENTION, KEYS[1:3], CPU, pictures[1:3], metas[1:3])
    found = caches.extract(network, ATTENTION, KEYS, CPU, pictures, metas)
    torch.testing.assert_close(found.cls_attention, expected)
    assert set(passes.values()) == {1}
    assert len(passes) == caches.computed == 4
    network.release()
    again = caches.extract(network, ATTENTION, KEYS[::-1], CPU)
    assert torch.equal(again.cls_attention, found.cls_attention.flip(0))
    assert again.maps[0].shape == (4, 0, 4, 4)  # nobody asked for maps
    assert caches.has('a', Requests(networks=((network, ATTENTION), )))
    assert not caches.has('a', Requests(networks=((network, Requests(maps=True)), )))
    assert sum(passes.values()) == 4


def test_expected_requests_are_met_in_one_pass_where_they_go_together():
    cache = FeatureCache('memory')
    cache.expected += [Requests(attention=True), Requests(qkv=3), Requests(qkv=1)]
    assert cache.with_expected(Requests(maps=True)) == Requests(attention=True, qkv=3, maps=True)
    assert cache.with_expected(Requests(qkv=1)) == Requests(attention=True, qkv=1)


def test_extents_follow_the_grid_of_each_backbone():
    meta = [dict(padding_size=(0, 6, 0, 8))]
    assert extents_on_grid(vit(), (16, 16), (4, 4), meta) == [(0, 2, 0, 2.5)]
    assert extents_on_grid(nn.Identity(), (16, 16), (8, 8), meta) == [(0, 4, 0, 5)]


class ReadsAnother(BasePostprocessor):
    """A stage that is fitted on the attention of another network, in two passes, and draws it."""

    def __init__(self, config):
        super().__init__()
        self.network = Network(config)
        self.sums = []

    def requests(self, fitting=False, pictures=False):
        return Requests(networks=((self.network, ATTENTION), )) if fitting or pictures else Requests()

    def fit(self, stream):
        self.sums = [[batch.others[self.network].cls_attention.clone() for batch in stream] for _ in range(2)]

    def forward(self, prediction, batch):
        return prediction


def model_of(backbone, *stages):
    head = dict(type='leopart_mm.OverclusterHead', num_clusters=4, seeds=1, pca_dim=2, nredo=1, niter=2)
    return UnsupervisedSegmentor(backbone, head, postprocessors=stages,
                                 data_preprocessor=dict(type='mmseg.SegDataPreProcessor', size_divisor=1)).eval()


def stream_of(model, cache, indices=range(IMAGES)):
    data = torch.utils.data.Subset(Images(), indices)
    return FeatureStream(model, DataLoader(data, 4, sampler=DefaultSampler(data, shuffle=False),
                                           collate_fn=pseudo_collate), cache=cache)


def fitted_on(cache, weights):
    model = model_of(nn.Sequential(nn.AvgPool2d(4)), ReadsAnother(dict(TINY, checkpoint=weights)))
    model.backbone.forward = lambda image: (nn.functional.avg_pool2d(image, 4), )
    model.backbone.scale = nn.Parameter(torch.ones(1))  # tells the device
    stream = stream_of(model, cache)
    model.fit(stream)
    return model.postprocessors['readsanother'], stream


@pytest.mark.parametrize('cache', ['memory', 'disk', dict(place='memory')])
def test_the_network_of_a_stage_runs_once_per_image(weights, passes, cache):
    stage, stream = fitted_on(cache, weights)
    assert len(passes) == IMAGES
    assert set(passes.values()) == {1}
    assert stream.computed == 2 * IMAGES  # of the model too
    anew, _ = fitted_on(None, weights)
    for first, second, expected in zip(*stage.sums, anew.sums[0], strict=True):
        assert torch.equal(first, expected)
        assert torch.equal(second, expected)
    stream.close()


def test_a_model_leaves_what_stages_of_other_models_expect_of_its_backbone(weights, passes):
    caches = NetworkCaches('memory')
    network = Network(dict(TINY, checkpoint=weights))
    model = model_of(vit())
    assert model_key(model) == network.key
    assert model_key(model, fp16=True) != network.key
    caches.of(network.key).expected.append(ATTENTION)
    stream = stream_of(model, caches, range(2, 5))
    model.fit(stream)
    stream.close()
    assert len(passes) == 3
    caches.discard_maps()
    assert all(not caches.of(network.key).has(key, -1, Requests()) for key in caches.of(network.key)._layouts)
    fitted_on(caches, weights)
    assert len(passes) == IMAGES
    assert set(passes.values()) == {1}
