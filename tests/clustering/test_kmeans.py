import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from leopart_mm.clustering.kmeans import _kmeans_faiss, assign, inertia, kmeans, kmeans_torch


def blobs(clusters=4, each=40, dim=4, spread=0.05):
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(clusters, dim, generator=generator) * 3
    points = centres.repeat_interleave(each, 0)
    return points + spread * torch.randn(points.shape, generator=generator)


def in_torch(points, k, seed=0, iterations=100, redo=5, max_points_per_centroid=256, spherical=False):
    return kmeans_torch(points, k, seed, iterations, redo, max_points_per_centroid, spherical)


@pytest.mark.parametrize('implementation', [kmeans, in_torch])
def test_inertia_is_as_good_as_scikit_learns(implementation):
    points = torch.randn(400, 5, generator=torch.Generator().manual_seed(3))
    reference = KMeans(8, n_init=20, random_state=0).fit(points.numpy()).inertia_
    assert inertia(points, implementation(points, 8, redo=20)) < 1.02 * reference


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_screened_runs_are_as_good_as_whole_ones(seed):
    points = torch.randn(2000, 6, generator=torch.Generator().manual_seed(3))
    points[:1000] += torch.randint(0, 4, (1000, 6), generator=torch.Generator().manual_seed(4))
    whole, screened = (kmeans(points, 20, seed, screen=screen) for screen in (None, 5))
    assert inertia(points, screened) < 1.02 * inertia(points, whole)
    assert torch.equal(kmeans(points, 20, seed, redo=1, screen=5), kmeans(points, 20, seed, redo=1))


def test_a_screened_run_goes_on_where_it_stood():
    points = torch.randn(500, 4, generator=torch.Generator().manual_seed(3))
    arguments = dict(k=6, seed=1, redo=1, max_points_per_centroid=30, spherical=False)
    for run in (_kmeans_faiss, kmeans_torch):
        whole = run(points, iterations=9, **arguments)
        start = run(points, iterations=4, **arguments)
        torch.testing.assert_close(run(points, iterations=5, start=start, **arguments), whole)


@pytest.mark.parametrize('implementation', [kmeans, in_torch])
def test_separate_blobs_are_found(implementation):
    points = blobs()
    labels = assign(points, implementation(points, 4, redo=60))
    groups = labels.view(4, 40)
    assert (groups == groups[:, :1]).all()
    assert sorted(groups[:, 0].tolist()) == list(range(4))


@pytest.mark.parametrize('implementation', [kmeans, in_torch])
def test_seeds_decide(implementation):
    points = torch.randn(300, 5, generator=torch.Generator().manual_seed(3))
    first, again, other = (implementation(points, 7, seed=seed, redo=1, iterations=5) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


@pytest.mark.parametrize('implementation', [kmeans, in_torch])
def test_duplicates_give_k_finite_centroids_and_zero_inertia(implementation):
    points = torch.tensor([[0., 1.], [2., 3.]]).repeat(20, 1)
    centroids = implementation(points, 5)
    assert centroids.shape == (5, 2)
    assert torch.isfinite(centroids).all()
    assert inertia(points, centroids) < 1e-4


@pytest.mark.parametrize('implementation', [kmeans, in_torch])
def test_spherical_centroids_are_unit_and_follow_directions(implementation):
    angles = torch.tensor([0., 2., 4.]).repeat_interleave(30) + torch.linspace(-.1, .1, 90)
    lengths = torch.linspace(0.5, 5, 90)
    points = torch.stack([angles.cos() * lengths, angles.sin() * lengths], 1)
    centroids = implementation(points, 3, redo=10, spherical=True)
    np.testing.assert_allclose(centroids.norm(dim=1), 1, rtol=1e-5)
    labels = assign(points, centroids, spherical=True).view(3, 30)
    assert (labels == labels[:, :1]).all()


@pytest.mark.parametrize('implementation', [kmeans, in_torch])
def test_training_uses_at_most_the_asked_number_of_points(implementation):
    points = torch.arange(1000.)[:, None]
    # two points for two centroids: each is a centroid, hence an integer
    centroids = implementation(points, 2, max_points_per_centroid=1)
    assert torch.equal(centroids, centroids.round())
    means = implementation(points, 2).sort(0).values.flatten().numpy()
    np.testing.assert_allclose(means, [249.5, 749.5], atol=30)


def test_assign_equals_brute_force_for_several_clusterings():
    generator = torch.Generator().manual_seed(0)
    points, centroids = torch.randn(50, 3, generator=generator), torch.randn(2, 7, 3, generator=generator)
    expected = torch.cdist(points.expand(2, -1, -1), centroids).argmin(-1)
    assert torch.equal(assign(points, centroids), expected)
    assert torch.equal(assign(points, centroids[1]), expected[1])


@pytest.mark.parametrize(('points', 'k', 'message'), [
    (torch.zeros(3, 2), 4, 'cannot make 4 clusters of 3 points'),
    (torch.tensor([[0.], [float('nan')]]), 1, '1 of 2 points hold NaN'),
    (torch.zeros(3, 2), 0, 'at least 1, not 0'),
    (torch.zeros(3), 1, 'shape'),
])
def test_bad_points_are_named(points, k, message):
    with pytest.raises(ValueError, match=message):
        kmeans(points, k)
