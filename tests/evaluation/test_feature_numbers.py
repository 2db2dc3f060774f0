"""Numbers without labels on features whose quality is known."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from leopart_mm.evaluation.feature_numbers import cluster_numbers, colour_dependence, feature_numbers, neighbour_overlap
from leopart_mm.evaluation.image_views import SecondView, SeenTwice, resize, sample_evenly, second_view, see_twice

GRID = (6, 8)


def places(grid=GRID):
    """The second view is the whole image."""
    rows, columns = (torch.arange(side) + 0.5 for side in grid)
    y, x = torch.meshgrid(rows / grid[0], columns / grid[1], indexing='ij')
    return torch.stack([x, y], -1)


def seen(first, second=None):
    """Images with features (h, w, C) that are seen a second time with others."""
    second = first if second is None else second
    return [SeenTwice(a, b, places(), torch.zeros(*GRID, 3)) for a, b in zip(first, second, strict=True)]


def noise(images=8, channels=12, seed=0):
    return list(torch.randn(images, *GRID, channels, generator=torch.Generator().manual_seed(seed)))


def scenes(images=8, spread=0.05, seed=0):
    """Two halves of the same two kinds in every image, left and right."""
    kinds = torch.zeros(GRID[0], GRID[1], 12)
    kinds[:, :4, 0] = kinds[:, 4:, 1] = 1.
    return [kinds + spread * part for part in noise(images, seed=seed)]


def test_the_same_features_have_the_same_neighbours():
    assert neighbour_overlap(seen(noise())).tolist() == pytest.approx([1.] * 8)


def test_unrelated_features_share_neighbours_by_chance():
    """10 of the 7 * 48 other patches: 3 %."""
    found = neighbour_overlap(seen(noise(), noise(seed=1)))
    assert found.mean() == pytest.approx(10 / (7 * 48), abs=0.02)


def test_regions_are_coherent_and_noise_is_not():
    whole, none = cluster_numbers(seen(scenes())), cluster_numbers(seen(noise()))
    assert none['coherence'].mean() == pytest.approx(0, abs=0.05)
    assert whole['coherence'].mean() > none['coherence'].mean() + 0.02
    assert torch.allclose(whole['view_agreement'], torch.ones(8).double())
    assert cluster_numbers(seen(noise(), noise(seed=1)))['view_agreement'].mean() == pytest.approx(0, abs=0.05)


def test_clusters_of_one_image_each_tell_the_image(monkeypatch):
    """Four images, four clusters: log 4 of log 4. Clusters that all images share alike tell nothing."""
    monkeypatch.setattr('leopart_mm.evaluation.feature_numbers.CLUSTERS', 4)
    monkeypatch.setattr('leopart_mm.evaluation.feature_numbers.DIMENSIONS', 4)
    own = [torch.eye(4)[number].expand(*GRID, 4) + 1e-3 * part for number, part in enumerate(noise(4, 4))]
    found = cluster_numbers(seen(own))
    assert found['image_information'].tolist() == pytest.approx([1.] * 4)
    assert found['coherence'].tolist() == pytest.approx([1.] * 4)
    monkeypatch.setattr('leopart_mm.evaluation.feature_numbers.CLUSTERS', 2)
    assert cluster_numbers(seen(scenes(spread=1e-3)))['image_information'].tolist() == pytest.approx([0.] * 8, abs=1e-9)


def coloured(features, colours):
    return [SeenTwice(a, a, places(), b) for a, b in zip(features, colours, strict=True)]


def test_colours_that_features_hold_are_told_and_others_are_not():
    """The ridge of 0.01 shrinks a fit by 1 / 1.01, which leaves 1 - (0.01 / 1.01)² of the variance explained."""
    colours = noise(channels=3, seed=1)
    assert float(colour_dependence(coloured(colours, colours)).mean()) == pytest.approx(1 - (.01 / 1.01) ** 2, abs=1e-4)
    assert float(colour_dependence(coloured(noise(), colours)).mean()) == pytest.approx(0, abs=0.05)
    assert colour_dependence(coloured(noise(), [torch.zeros(*GRID, 3)] * 8)).tolist() == [0.] * 8


def test_colour_dependence_is_that_of_an_independent_regression():
    """Ridge of scikit-learn on the same features, which leaves its constant alone; the mean over images is its R²."""
    from sklearn.linear_model import Ridge
    features, extra = noise(), noise(channels=3, seed=1)
    colours = [one[..., :3] + part for one, part in zip(features, extra, strict=True)]
    flat, target = (torch.cat([one.flatten(0, 1) for one in part]).double().numpy() for part in (features, colours))
    flat = (flat - flat.mean(0)) / flat.std(0, ddof=1)
    fit = Ridge(alpha=.01 * len(flat)).fit(flat, target).predict(flat)
    expected = 1 - ((target - fit) ** 2).sum() / ((target - target.mean(0)) ** 2).sum()
    assert float(colour_dependence(coloured(features, colours)).mean()) == pytest.approx(expected, abs=1e-4)
    assert .4 < expected < .6


def test_collapsed_features_give_finite_numbers():
    found = feature_numbers(seen([torch.ones(*GRID, 12)] * 8))
    assert all(torch.isfinite(values).all() for values in found.values())


def test_a_number_has_a_value_per_image_and_repeats():
    first, again = (feature_numbers(seen(scenes(), noise()), seed=3) for _ in range(2))
    for name, values in first.items():
        assert values.shape == (8, )
        assert torch.equal(values, again[name])


def test_places_follow_box_and_mirror():
    view = SecondView((.2, .4, .6, .8), False, (1., 1., 1.), 1., 0.)
    found = view.places((2, 2))
    assert found[0, 0].tolist() == pytest.approx([.3, .5])
    assert found[1, 1].tolist() == pytest.approx([.5, .7])
    mirrored = SecondView(view.box, True, view.gain, 1., 0.).places((2, 2))
    assert mirrored[0, 0].tolist() == pytest.approx([.5, .5])


def test_a_view_shows_what_its_places_say():
    """An image whose colours are coordinates: the view's pixels are the places of its patches."""
    y, x = np.mgrid[0:200, 0:300].astype(np.float32)
    image = np.stack([(x + .5) / 300, (y + .5) / 200, 0 * x], -1)
    for flip in (False, True):
        view = SecondView((.25, .1, .85, .9), flip, (1., 1., 1.), 1., 0.)
        pixels = second_view(image, view, (40, 60))
        assert np.abs(pixels[..., :2] - view.places((40, 60))).max() < 0.01


def test_colours_of_a_view_change_as_drawn():
    image = np.random.default_rng(0).uniform(0, 255, (32, 32, 3)).astype(np.float32)
    grey = second_view(image, SecondView((0, 0, 1, 1), False, (1., 1., 1.), 1., 1.), (32, 32))
    assert np.abs(grey - grey[..., :1]).max() < 1e-3
    flat = second_view(image, SecondView((0, 0, 1, 1), False, (2., 1., 1.), 0., 0.), (32, 32))
    assert flat[..., 0] == pytest.approx(2 * image[..., 0].mean(), rel=1e-4)


class Means(nn.Module):
    """A backbone whose features are the mean colours of 8 x 8 patches."""

    patch_size = 8

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward_dense(self, image):
        from leopart_mm.models.backbones.features import DenseFeatures
        maps = nn.functional.avg_pool2d(image, 8) * self.scale
        return DenseFeatures(maps=(maps, ), grid=tuple(maps.shape[-2:]))


def test_views_do_not_depend_on_other_images():
    images = [np.random.default_rng(seed).integers(0, 256, (40 + seed, 60, 3), dtype=np.uint8) for seed in range(3)]
    mean, std = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
    together, alone = see_twice(Means(), images, mean, std, 48), see_twice(Means(), images[:1], mean, std, 48)
    assert torch.equal(together[0].second, alone[0].second)
    assert together[0].first.shape == (5, 7, 3)
    assert torch.allclose(together[0].first, together[0].colours, atol=1e-3)  # this network sees colours as they are
    other = see_twice(Means(), images[:1], mean, std, 48, seed=1)
    assert not torch.equal(other[0].second, alone[0].second)


def test_sizes_keep_the_ratio():
    assert resize(np.zeros((10, 20, 1), np.uint8), (4, 8)).shape == (4, 8, 1)
    assert sorted(sample_evenly(5, 9, 0)) == [0, 1, 2, 3, 4]
    assert sample_evenly(100, 3, 0) == sample_evenly(100, 3, 0) != sample_evenly(100, 3, 1)
    assert math.prod(resize(np.zeros((10, 20, 3)), (2, 2)).shape) == 12
