import pytest
import torch

from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.feature_cache import FeatureCache, build_cache, image_digest, image_keys
from leopart_mm.models.fitting.joining import join, pick
from leopart_mm.models.fitting.requests import Requests

CPU = torch.device('cpu')


def batch(number=4, attention=True):
    """Maps of two blocks, the second of which the head reads."""
    maps = tuple(torch.randn(number, channels, 3, 5) for channels in (2, 7))
    features = DenseFeatures(maps, (3, 5), cls_attention=torch.rand(number, 2, 15) if attention else None,
                             class_q=torch.rand(number, 2, 1, 4), token_k=torch.rand(number, 2, 16, 4))
    return FeatureBatch(features, None, list('abcd')[:number], [Extent(0, 3, 0, 4.5 + i / 10) for i in range(number)],
                        cache_keys=[f'key {index}' for index in range(number)])


def test_an_image_is_known_by_its_bytes_its_type_and_its_shape():
    image = torch.arange(24, dtype=torch.uint8).view(3, 2, 4)
    assert image_digest(image) == image_digest(image.clone())
    digests = {image_digest(x) for x in (image, image + 1, image.view(3, 4, 2), image.to(torch.int8), image.flip(0))}
    assert len(digests) == 5
    assert image_digest(image.flip(0)) == image_digest(image.flip(0).contiguous())


def test_keys_tell_padded_inputs_apart():
    inputs = torch.zeros(2, 3, 8, 8)
    padded, moved = dict(padding_size=(0, 2, 0, 0)), dict(padding_size=(2, 0, 0, 0))
    keys = {*image_keys(['x', 'x'], inputs, [padded, moved]), *image_keys(['x', 'x'], inputs, [{}, padded]),
            *image_keys(['x'], inputs[..., :6], [{}])}
    assert len(keys) == 4


@pytest.mark.parametrize('in_index', [1, -1])
def test_features_come_back_in_any_order_and_lack_the_maps_that_nobody_reads(in_index):
    whole, asked = batch(), Requests(attention=True)
    cache = FeatureCache('memory')
    cache.put(whole, in_index, asked)
    features, extents = cache.get(['key 2', 'key 0'], in_index, asked, CPU)
    assert torch.equal(features.maps[1], whole.features.maps[1][[2, 0]])
    assert features.maps[0].shape == (2, 0, 3, 5)
    assert torch.equal(features.cls_attention, whole.features.cls_attention[[2, 0]])
    assert extents == [whole.extents[2], whole.extents[0]]
    assert cache.has('key 1', 1, Requests())
    assert not cache.has('key 1', 0, Requests())
    assert not cache.has('key 1', 1, Requests(qkv=3))
    assert not cache.has('key 9', 1, Requests())


def test_the_class_query_and_the_keys_of_a_block_are_kept_by_its_number():
    whole, cache = batch(), FeatureCache('memory')
    cache.put(whole, None, Requests(class_query=5))
    features, _ = cache.get(['key 3', 'key 1'], None, Requests(class_query=5), CPU)
    assert torch.equal(features.class_q, whole.features.class_q[[3, 1]])
    assert torch.equal(features.token_k, whole.features.token_k[[3, 1]])
    assert features.q is None
    assert not cache.has('key 3', None, Requests(class_query=-1))


def test_dropped_maps_leave_the_rest():
    cache = FeatureCache('memory')
    cache.put(batch(), 1, Requests(attention=True))
    cache.discard_maps(['key 0', 'unknown'], -1)
    assert not cache.has('key 0', 1, Requests())
    assert cache.has('key 0', None, Requests(attention=True))
    assert cache.has('key 1', 1, Requests())
    cache.close()
    assert not cache.has('key 1', None, Requests())
    assert not cache.active


def test_a_cache_is_built_from_its_settings():
    assert build_cache('disk').tensors.place == 'disk'
    assert build_cache(dict(place='memory', half=True)).tensors.half
    cache = FeatureCache()
    assert build_cache(cache) is cache
    assert not build_cache(None).active


def test_join_undoes_pick():
    whole = batch()
    parts = [(indices, pick(whole, indices)) for indices in ([3, 1], [0], [2])]
    joined = join(parts)
    for ours, theirs in zip(joined.features.maps, whole.features.maps, strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(joined.features.cls_attention, whole.features.cls_attention)
    assert (joined.names, joined.extents, joined.cache_keys) == (whole.names, whole.extents, whole.cache_keys)


def test_join_leaves_out_what_a_part_lacks():
    whole = batch()
    first, second = pick(whole, [0, 1]), pick(whole, [2, 3])
    second.features.cls_attention = None
    second.features.maps = tuple(maps[:, :0] for maps in second.features.maps)
    joined = join([([0, 1], first), ([2, 3], second)])
    assert joined.features.cls_attention is None
    assert [tuple(maps.shape) for maps in joined.features.maps] == [(4, 0, 3, 5)] * 2
