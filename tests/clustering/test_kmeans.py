import faiss
import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from leopart_mm.clustering.kmeans import RUN_SEED_STEP, assign, faiss_permutation, inertia, kmeans
from leopart_mm.clustering.kmeans_fit import KMeansSettings
from leopart_mm.clustering.lloyd import Lloyd
from leopart_mm.models.decode_heads import OverclusterHead


def blobs(clusters=4, each=40, dim=4, spread=0.05):
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(clusters, dim, generator=generator) * 3
    points = centres.repeat_interleave(each, 0)
    return points + spread * torch.randn(points.shape, generator=generator)


def test_inertia_is_as_good_as_scikit_learns():
    points = torch.randn(400, 5, generator=torch.Generator().manual_seed(3))
    reference = KMeans(8, n_init=20, random_state=0).fit(points.numpy()).inertia_
    assert inertia(points, kmeans(points, 8, redo=20)) < 1.02 * reference


@pytest.mark.parametrize('spherical', [False, True])
@pytest.mark.parametrize(('k', 'count', 'seed'), [(5, 700, 0), (21, 4000, 1), (60, 3000, 12345)])
def test_centroids_are_those_of_faiss(k, count, seed, spherical):
    points = torch.randn(count, 6, generator=torch.Generator().manual_seed(3))
    points[::2] += torch.randint(0, 4, points[::2].shape, generator=torch.Generator().manual_seed(4))
    settings = dict(spherical=spherical, max_points_per_centroid=40)
    reference = faiss.Kmeans(6, k, niter=30, nredo=3, seed=seed, min_points_per_centroid=1, **settings)
    reference.train(points.numpy())
    found = kmeans(points, k, seed, iterations=30, redo=3, **settings)
    np.testing.assert_allclose(found, reference.centroids, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(('count', 'take'), [(1, 1), (2, 2), (50, 50), (3000, 70)])
def test_subsets_and_starts_are_those_of_faiss(count, take):
    for seed in (0, 7, 4 * RUN_SEED_STEP + 2, 2**32 + 5):
        expected = np.empty(count, np.int32)
        faiss.rand_perm(faiss.swig_ptr(expected), count, seed)
        assert faiss_permutation(count, take, seed).tolist() == expected[:take].tolist()


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_screening_continues_only_the_best_run(seed):
    points = torch.randn(2000, 6, generator=torch.Generator().manual_seed(3))
    starts = [points[torch.from_numpy(faiss_permutation(2000, 20, seed + 1 + run * RUN_SEED_STEP))] for run in range(4)]
    runs = [Lloyd(points, start).run(3) for start in starts]
    best = min(runs, key=Lloyd.objective)
    assert torch.equal(kmeans(points, 20, seed, 40, 4, screen=3), best.run(37).centroids)
    assert torch.equal(kmeans(points, 20, seed, redo=1, screen=5), kmeans(points, 20, seed, redo=1))


def test_nothing_is_screened_unless_asked():
    points = torch.randn(1500, 4, generator=torch.Generator().manual_seed(3))
    objectives = []
    for run in range(5):
        start = points[torch.from_numpy(faiss_permutation(1500, 12, 1 + run * RUN_SEED_STEP))]
        objectives.append(Lloyd(points, start).run(100).objective())
    assert inertia(points, kmeans(points, 12)) == pytest.approx(min(objectives), rel=1e-5)
    assert OverclusterHead(12).kmeans.screen is None


def test_separate_blobs_are_found():
    points = blobs()
    labels = assign(points, kmeans(points, 4, redo=60))
    groups = labels.view(4, 40)
    assert (groups == groups[:, :1]).all()
    assert sorted(groups[:, 0].tolist()) == list(range(4))


def test_seeds_decide():
    points = torch.randn(300, 5, generator=torch.Generator().manual_seed(3))
    first, again, other = (kmeans(points, 7, seed=seed, redo=1, iterations=5) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_duplicates_give_k_finite_centroids_and_zero_inertia():
    points = torch.tensor([[0., 1.], [2., 3.]]).repeat(20, 1)
    centroids = kmeans(points, 5)
    assert centroids.shape == (5, 2)
    assert torch.isfinite(centroids).all()
    assert inertia(points, centroids) < 1e-4


def test_spherical_centroids_are_unit_and_follow_directions():
    angles = torch.tensor([0., 2., 4.]).repeat_interleave(30) + torch.linspace(-.1, .1, 90)
    lengths = torch.linspace(0.5, 5, 90)
    points = torch.stack([angles.cos() * lengths, angles.sin() * lengths], 1)
    centroids = kmeans(points, 3, redo=10, spherical=True)
    np.testing.assert_allclose(centroids.norm(dim=1), 1, rtol=1e-5)
    labels = assign(points, centroids, spherical=True).view(3, 30)
    assert (labels == labels[:, :1]).all()


def test_training_uses_at_most_the_asked_number_of_points():
    points = torch.arange(1000.)[:, None]
    # two points for two centroids: each is a centroid, hence an integer
    centroids = kmeans(points, 2, max_points_per_centroid=1)
    assert torch.equal(centroids, centroids.round())
    means = kmeans(points, 2).sort(0).values.flatten().numpy()
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


@pytest.mark.parametrize('settings', [KMeansSettings(100), KMeansSettings(2000, max_points_per_centroid=40)])
def test_seeds_draw_points_of_which_half_are_their_own(settings):
    used = settings.max_points_per_centroid * settings.num_clusters
    assert settings.sample_size >= 2 * used
    first, second = (set(faiss_permutation(settings.sample_size, used, seed).tolist()) for seed in (0, 1))
    assert len(first & second) <= .52 * used
