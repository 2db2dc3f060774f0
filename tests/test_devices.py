"""Machines as people have them: Apple GPUs without float64, macOS where faiss crashes, machines without a GPU."""

import pytest
import torch

from leopart_mm import devices
from leopart_mm.clustering.foreground import RULES, ForegroundCounts, cluster_sizes, cut_agreement
from leopart_mm.clustering.kmeans import inertia, kmeans
from leopart_mm.clustering.moments import Moments
from leopart_mm.clustering.pca import principal_directions
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.state import FittedState
from leopart_mm.registry import MODELS
from leopart_mm.retrieval.search import InvertedFile, search
from tests.fake_mps import MPS, fake_mps


def features(seed=0):
    return torch.randn(60, 6, generator=torch.Generator().manual_seed(seed))


def test_the_stand_in_behaves_as_an_apple_gpu():
    with fake_mps() as to_mps:
        value = to_mps(torch.ones(2))
        assert value.device == MPS
        assert (value + value).device == MPS
        assert value.cpu().device.type == 'cpu'
        assert torch.zeros(2, device=value.device).device == MPS
        for wrong in (value.double, lambda: value.to(torch.float64), lambda: torch.ones(1).double().to(MPS)):
            with pytest.raises(TypeError, match='float64'):
                wrong()
        with pytest.raises(TypeError, match='numpy'):
            value.numpy()
        with pytest.raises(RuntimeError, match='same device'):
            value + torch.ones(2)


def test_where_float64_is_held():
    value = torch.ones(2)
    assert devices.in_float64(value).dtype == torch.float64
    assert devices.move(value.double(), 'cpu').dtype == torch.float64
    assert devices.has_float64('cuda:1')
    assert not devices.has_float64('mps:0')
    with fake_mps() as to_mps:
        assert devices.float64_device(to_mps(value)).type == 'cpu'
        assert devices.in_float64(to_mps(value)).device.type == 'cpu'
        assert devices.move(value.double(), MPS).device.type == 'cpu'
        assert devices.move(value, MPS).device == MPS


def test_statistics_on_an_apple_gpu_equal_those_on_the_cpu():
    expected = Moments()
    expected.update(features())
    directions = principal_directions(expected.covariance())[0]
    labels, masks = torch.arange(24).reshape(2, 3, 4) % 5, (torch.arange(24).reshape(2, 3, 4) % 3 == 0).long()
    counts = ForegroundCounts.of_images(*cluster_sizes(labels, masks, 5))
    rules = {name: rule(counts.precisions, counts.inside, counts.size) for name, rule in RULES.items()}
    agreement = cut_agreement(labels[0].flatten(), masks[0].flatten(), 5)
    centroids = kmeans(features(), 4, redo=2)
    distance = inertia(features(), centroids)
    with fake_mps() as to_mps:
        moments = Moments()
        moments.update(to_mps(features()))
        assert torch.equal(moments.scatter, expected.scatter)
        assert torch.equal(principal_directions(moments.covariance())[0], directions)
        assert principal_directions(to_mps(moments.covariance().float()))[0].dtype == torch.float64
        found = ForegroundCounts.of_images(*cluster_sizes(to_mps(labels), to_mps(masks), 5))
        assert torch.equal(found.precisions, counts.precisions)
        assert {name: rule(found.precisions, found.inside, found.size) for name, rule in RULES.items()} == rules
        assert torch.equal(cut_agreement(to_mps(labels[0].flatten()), to_mps(masks[0].flatten()), 5).cpu(), agreement)
        assert inertia(to_mps(features()), to_mps(centroids)) == distance
        torch.testing.assert_close(kmeans(to_mps(features()), 4, redo=2).cpu(), centroids, rtol=1e-6, atol=1e-6)


def test_a_head_fits_on_features_of_an_apple_gpu():
    def fitted(move):
        head = MODELS.build(dict(type='leopart_mm.OverclusterHead', num_clusters=4, seeds=1, pca_dim=3, niter=5,
                                 nredo=1))
        maps = features().reshape(10, 6, 6).permute(0, 2, 1).reshape(10, 6, 2, 3)
        names = [str(index) for index in range(10)]
        head.fit([FeatureBatch(DenseFeatures((move(maps), ), (2, 3)), None, names, [(0, 2, 0, 3)] * 10)])
        return head

    expected = fitted(lambda maps: maps)
    with fake_mps() as to_mps:
        found = fitted(to_mps)
        torch.testing.assert_close(found.centroids, expected.centroids, rtol=1e-6, atol=1e-6)
        assert torch.equal(found.projection, expected.projection)


class Exact(FittedState, torch.nn.Module):
    STATE = ('exact', 'rough')


def test_fitted_float64_values_stay_on_the_cpu_when_a_model_moves():
    module = Exact()
    values = dict(exact=torch.tensor([1 / 3], dtype=torch.float64), rough=torch.ones(2))
    module.keep(values, {})
    state = module.state_dict()
    with fake_mps():
        # nn.Module.to itself asks the backend, which this machine lacks; it does this to every tensor
        module._apply(lambda tensor: torch.Tensor.to(tensor, MPS))
        assert module.exact.device.type == 'cpu'
        assert module.rough.device == MPS
        assert module.is_fitted
        moved = Exact()._apply(lambda tensor: torch.Tensor.to(tensor, MPS))
        moved.keep(values, {})
        assert moved.exact.device.type == 'cpu'
        assert moved.rough.device == MPS
    assert torch.equal(module.exact, values['exact'])
    loaded = Exact()
    loaded.load_state_dict(state)
    assert torch.equal(loaded.exact, values['exact'])
    assert Exact().half().fitted.dtype == torch.bool


@pytest.mark.parametrize(('cuda', 'mps', 'expected'), [(True, True, 'cuda'), (False, True, 'mps'),
                                                       (False, False, 'cpu')])
def test_the_best_device(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, 'is_available', lambda: mps)
    assert devices.best_device().type == expected


def test_faiss_is_not_imported_on_macos(monkeypatch):
    keys = torch.nn.functional.normalize(features(), dim=1)
    expected = search(keys[:5], keys, 3)
    monkeypatch.setattr(devices.sys, 'platform', 'darwin')
    monkeypatch.setitem(devices.sys.modules, 'faiss', None)  # importing it would crash the process
    assert torch.equal(search(keys[:5], keys, 3)[1], expected[1])
    assert kmeans(keys, 3, redo=1).shape == (3, 6)
    with pytest.raises(ValueError, match=r"index='faiss' uses faiss.*macOS.*index='torch'"):
        search(keys[:5], keys, 3, index='faiss')
    with pytest.raises(ValueError, match=r"index='ivf' uses faiss.*macOS.*index='torch'"):
        InvertedFile(keys)
