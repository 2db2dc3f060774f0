import json

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.decode_heads import NotFittedError, OverclusterHead
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from tests.distributed import run_distributed

CHANNELS, GRID = 8, (5, 6)


def feature_maps(images=6, seed=0):
    """Maps whose cells belong to one of 4 far-apart groups, (B, C, h, w), and the groups (B, h, w)."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(4, CHANNELS, generator=torch.Generator().manual_seed(99)) * 4
    groups = torch.randint(0, 4, (images, *GRID), generator=generator)
    maps = centres[groups] + 0.05 * torch.randn(images, *GRID, CHANNELS, generator=generator) + 7
    return maps.permute(0, 3, 1, 2), groups


def stream_of(maps, batch=2, extents=None):
    batches = []
    for start in range(0, len(maps), batch):
        part = maps[start:start + batch]
        names = [f'image_{index}' for index in range(start, start + len(part))]
        box = [extents or (0, GRID[0], 0, GRID[1])] * len(part)
        batches.append(FeatureBatch(DenseFeatures((part, ), GRID), None, names, box))
    return batches


def labels_of(head, maps):
    return head.predict(stream_of(maps, batch=len(maps))[0]).labels


def make_head(**kwargs):
    return OverclusterHead(**dict(dict(num_clusters=4, seeds=(3, 5), pca_dim=3, niter=20, nredo=20), **kwargs))


def same_partition(labels, groups):
    pairs = {(int(a), int(b)) for a, b in zip(labels.flatten(), groups.flatten(), strict=True)}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@pytest.mark.parametrize('options', [{}, dict(pca_dim=None), dict(standardise=False),
                                     dict(pca_dim=None, standardise=False), dict(normalize=True),
                                     dict(spherical=True)])
def test_separate_groups_are_found_by_every_seed(options):
    maps, groups = feature_maps()
    head = make_head(**options)
    head.fit(stream_of(maps))
    labels = labels_of(head, maps)
    assert labels.shape == (2, 6, *GRID)
    assert same_partition(labels[0], groups)
    assert same_partition(labels[1], groups)
    assert torch.equal(head.forward((maps, )).argmax(1), labels[0])
    assert head.info == dict(images=6, tokens=180, sampled=180, seeds=[3, 5])


def test_projection_equals_scikit_learn():
    maps, _ = feature_maps()
    head = make_head()
    head.fit(stream_of(maps))
    tokens = maps.permute(0, 2, 3, 1).reshape(-1, CHANNELS).double().numpy()
    reference = PCA(3).fit_transform(StandardScaler().fit_transform(tokens))
    vectors = head.reduce((maps, )).permute(0, 2, 3, 1).reshape(-1, 3).double().numpy()
    signs = np.sign((vectors * reference).sum(0))
    np.testing.assert_allclose(vectors, reference * signs, atol=1e-4)


def test_batches_and_order_do_not_matter():
    maps, _ = feature_maps()
    heads = [make_head(num_clusters=7, num_samples=60) for _ in range(2)]
    heads[0].fit(stream_of(maps, batch=2))
    heads[1].fit(stream_of(maps, batch=5)[::-1])
    torch.testing.assert_close(heads[0].centroids, heads[1].centroids, rtol=1e-4, atol=1e-4)


def test_cells_of_padding_are_not_fitted():
    maps, _ = feature_maps()
    padded = maps.clone()
    padded[:, :, 4:] = 1e4
    padded[:, :, :, 5:] = -1e4
    heads = [make_head(), make_head()]
    heads[0].fit(stream_of(padded, extents=(0, 3.5, 0, 5)))
    assert heads[0].info['tokens'] == 6 * 4 * 5
    assert heads[0].mean.abs().max() < 100


def test_features_resized_before_clustering():
    maps, _ = feature_maps()
    head = make_head(feature_size=(10, 12))
    head.fit(stream_of(maps))
    assert head.info['tokens'] == 6 * 120
    assert labels_of(head, maps).shape == (2, 6, 10, 12)


def test_a_fitted_state_loads_into_a_new_head_also_non_strictly(tmp_path):
    maps, _ = feature_maps()
    head = make_head()
    head.fit(stream_of(maps))
    torch.save(head.state_dict(), tmp_path / 'head.pth')
    for strict in (True, False):
        other = make_head()
        other.load_state_dict(torch.load(tmp_path / 'head.pth', weights_only=True), strict=strict)
        assert other.is_fitted
        assert other.info == head.info
        assert torch.equal(labels_of(other, maps), labels_of(head, maps))


def test_a_state_of_another_shape_is_refused_whole():
    maps, _ = feature_maps()
    head = make_head()
    head.fit(stream_of(maps))
    for other, message in ((make_head(num_clusters=5), r'fitted with num_clusters=4 \(config: 5\)'),
                           (make_head(seeds=3), r'fitted with seeds=\[3, 5\] \(config: \[0, 1, 2\]\)')):
        with pytest.raises(ValueError, match=message):
            other.load_state_dict(head.state_dict(), strict=False)
        assert not other.is_fitted
    state = head.state_dict()
    del state['projection']
    with pytest.raises(ValueError, match='projection is missing'):
        make_head().load_state_dict(state, strict=False)


def test_a_state_of_before_settings_were_recorded_loads():
    maps, _ = feature_maps()
    head = make_head()
    head.fit(stream_of(maps))
    state = head.state_dict()
    state['fit_info'] = torch.tensor(list(json.dumps(head.info).encode()), dtype=torch.uint8)
    other = make_head()
    other.load_state_dict(state)
    assert other.info == head.info
    assert torch.equal(labels_of(other, maps), labels_of(head, maps))
    for wrong in (make_head(num_clusters=5), make_head(seeds=3)):
        with pytest.raises(ValueError, match='fitted with'):
            wrong.load_state_dict(state)


def test_reduced_features_are_enough_to_predict():
    maps, _ = feature_maps()
    head = make_head()
    head.fit(stream_of(maps))
    batch = stream_of(maps, batch=6)[0]
    batch.features.reduced = head.reduce(batch.features.maps)
    batch.features.maps = ()
    assert torch.equal(head.predict(batch).labels, labels_of(head, maps))


def test_a_checkpoint_without_the_head_leaves_it_unfitted():
    head = make_head()
    head.load_state_dict({}, strict=False)
    assert not head.is_fitted
    head.load_state_dict(make_head().state_dict())
    assert not head.is_fitted
    with pytest.raises(NotFittedError, match='FitTestLoop'):
        labels_of(head, feature_maps()[0])


def test_bad_input_is_named():
    maps, _ = feature_maps()
    with pytest.raises(ValueError, match='cannot make 181 clusters of 180 points'):
        make_head(num_clusters=181).fit(stream_of(maps))
    with pytest.raises(ValueError, match='pca_dim=9 is impossible for features of 8 channels'):
        make_head(pca_dim=9).fit(stream_of(maps))
    with pytest.raises(ValueError, match='No feature vector'):
        make_head().fit([])
    with pytest.raises(ValueError, match='both be at least'):
        make_head(seeds=0)
    head = make_head()
    head.fit(stream_of(maps))
    with pytest.raises(ValueError, match='fitted on 8 channels, but the backbone gives 5'):
        labels_of(head, maps[:, :5])
    with pytest.raises(NotImplementedError, match='no loss'):
        head.loss()
    maps[1, 0, 0, 0] = float('inf')
    with pytest.raises(ValueError, match='image_1: 1 of 30 feature vectors'):
        make_head().fit(stream_of(maps))


def _fit_a_part(poison):
    import torch.distributed as dist
    maps, _ = feature_maps()
    stream = stream_of(maps, batch=1)[dist.get_rank()::dist.get_world_size()]
    if poison and dist.get_rank() == 1:
        stream[0].features.maps[0][:] = float('nan')
    head = make_head(num_clusters=6, num_samples=100)
    try:
        head.fit(stream)
    except ValueError as error:
        return str(error)
    return {key: value.numpy() for key, value in head.state_dict().items()}


@pytest.mark.slow
def test_two_processes_fit_what_one_does_and_share_errors():
    maps, _ = feature_maps()
    head = make_head(num_clusters=6, num_samples=100)
    head.fit(stream_of(maps, batch=1))
    for state in run_distributed(_fit_a_part, 2, False):
        assert (state['fit_info'] == head.fit_info.numpy()).all()
        np.testing.assert_allclose(state['mean'], head.mean, rtol=1e-6)
        np.testing.assert_allclose(state['projection'], head.projection, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(state['centroids'], head.centroids, rtol=1e-4, atol=1e-4)
    assert all('NaN' in message for message in run_distributed(_fit_a_part, 2, True))
