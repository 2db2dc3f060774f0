import pytest
import torch

from leopart_mm.clustering.lloyd import Lloyd, nearest


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def plain_lloyd(points, centroids, steps, spherical=False):
    """Labels and centroids of every step, in double precision, all points against all centroids."""
    points, centroids = points.double(), centroids.double()
    if spherical:
        centroids = torch.nn.functional.normalize(centroids, dim=1)
    for _ in range(steps):
        scores = points @ centroids.T if spherical else -torch.cdist(points, centroids)
        labels = scores.argmax(1)
        centroids = torch.stack([points[labels == cluster].mean(0) if (labels == cluster).any() else centroids[cluster]
                                 for cluster in range(len(centroids))])
        if spherical:
            centroids = torch.nn.functional.normalize(centroids, dim=1)
        yield labels, centroids


@pytest.mark.parametrize(('count', 'clusters', 'dim', 'spherical'), [
    (500, 3, 2, False), (500, 3, 2, True), (900, 40, 6, False), (900, 40, 6, True), (1500, 130, 10, False),
    (1500, 130, 10, True), (300, 17, 1, False),
])
def test_every_step_gives_the_labels_of_plain_lloyd(count, clusters, dim, spherical):
    points = normal(count, dim) * torch.linspace(.5, 2, dim)
    points[::2] += 3 * normal(5, dim, seed=1).repeat(-(-count // 10), 1)[:len(points[::2])]
    run = Lloyd(points, points[:clusters], spherical)
    for labels, centroids in plain_lloyd(points, points[:clusters], 25, spherical):
        run.run(1)
        assert torch.equal(run.labels, labels)
        torch.testing.assert_close(run.centroids.double(), centroids, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('offset', [0., 300.])
def test_bounds_hold_where_rounding_is_coarse(offset):
    points = normal(3000, 8) + offset
    run = Lloyd(points, points[:60])
    for _ in range(30):
        before = run.centroids
        run.run(1)
        distances = torch.cdist(points.double(), before.double())
        chosen = distances.gather(1, run.labels[:, None])[:, 0]
        # what float32 cannot tell apart when lengths are about offset * sqrt(8)
        assert ((chosen.square() - distances.amin(1).square()) <= 1e-6 * (10 + 8 * offset**2)).all()


def test_few_points_are_compared_once_centroids_hardly_move(monkeypatch):
    compared = []
    compare = Lloyd._compare
    monkeypatch.setattr(Lloyd, '_compare', lambda self, rows, *args: compared.append(len(self.labels[rows])) or compare(
        self, rows, *args))
    points = normal(4000, 8)
    run = Lloyd(points, points[:50])
    shares = []
    while not run.converged:
        compared.clear()
        run.run(1)
        shares.append(sum(compared) / len(points))
    assert shares[0] == 1
    assert sum(shares) < .6 * len(shares)
    assert max(shares[-5:]) < .3


def test_a_converged_run_does_not_change_and_a_run_can_be_continued():
    points = normal(400, 3)
    whole, parts = Lloyd(points, points[:6]).run(9), Lloyd(points, points[:6]).run(4).run(5)
    assert torch.equal(whole.centroids, parts.centroids)
    whole.run(1000)
    assert whole.converged
    assert torch.equal(nearest(points, whole.centroids), whole.labels)
    final = whole.centroids
    assert torch.equal(whole.run(5).centroids, final)
    assert whole.objective() == pytest.approx(float((points - final[whole.labels]).square().sum()))


def test_the_objective_is_that_of_the_last_assignment():
    points = torch.tensor([[0.], [1.], [10.], [12.]])
    run = Lloyd(points, torch.tensor([[0.], [9.]])).run(1)
    assert run.objective() == 0 + 1 + 1 + 9
    assert run.centroids.tolist() == [[.5], [11.]]
    assert run.run(1).objective() == .25 + .25 + 1 + 1


def test_an_empty_cluster_takes_half_of_the_largest():
    points = torch.cat([torch.linspace(0, 1, 30), torch.tensor([50., 51.])])[:, None]
    run = Lloyd(points, torch.tensor([[0.], [50.], [1000.]])).run(20)
    assert torch.bincount(run.labels, minlength=3)[1] == 2
    assert 10 <= torch.bincount(run.labels, minlength=3)[2] <= 20


@pytest.mark.parametrize('clusters', [1, 7, 16, 17, 200])
def test_nearest_equals_brute_force_and_prefers_the_lowest_id(clusters):
    points, centroids = normal(600, 4), normal(clusters, 4, seed=1)
    assert torch.equal(nearest(points, centroids), torch.cdist(points.double(), centroids.double()).argmin(1))
    assert torch.equal(nearest(points, centroids, spherical=True), (points.double() @ centroids.double().T).argmax(1))
    twice = torch.cat([centroids, centroids])
    assert torch.equal(nearest(points, twice), nearest(points, centroids))
    assert nearest(points[:0], centroids).shape == (0, )
