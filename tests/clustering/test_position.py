"""Directions of position: against the published steps in plain operations, planted ones, and features without any."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LinearRegression

from leopart_mm.clustering.moments import Moments
from leopart_mm.clustering.position import black_image_basis, cell_places, position_basis, remove_directions

GRID, CHANNELS = (5, 7), 12


def projector(basis):
    return (basis @ basis.T).double()


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def planted(images=8, strength=3.):
    """Features (N, C) of images with row in channel 3 and column in channel 5, the places (N, 2), and the content."""
    places = cell_places(GRID).flatten(0, 1).repeat(images, 1)
    content = normal(len(places), CHANNELS)
    features = content.clone()
    features[:, 3] = strength * places[:, 0]
    features[:, 5] = strength * places[:, 1] + 1
    return features, places


def covariance(features, places, parts=1):
    moments = Moments()
    for part in torch.cat([features, places], 1).split(-(-len(features) // parts)):
        moments.update(part)
    return moments.covariance()


@pytest.mark.parametrize('rank', [1, 4])
def test_black_image_basis_equals_the_published_singular_vectors(rank):
    features = normal(35, CHANNELS) + 2
    E = F.normalize(features, dim=1).T.double()
    U = torch.linalg.svd(E - E.mean(1, keepdim=True), full_matrices=False)[0][:, :rank]
    basis = black_image_basis(features, rank)
    assert basis.shape == (CHANNELS, rank)
    torch.testing.assert_close(projector(basis), projector(U), rtol=0, atol=1e-5)
    torch.testing.assert_close(basis.T @ basis, torch.eye(rank))
    torch.testing.assert_close(black_image_basis(5 * features, rank), basis)  # lengths do not count


def test_a_black_image_that_is_the_same_everywhere_has_no_directions():
    assert not black_image_basis(normal(1, CHANNELS).expand(20, -1), 3).any()
    few = black_image_basis(normal(3, CHANNELS), 5)  # three cells differ in two directions
    torch.testing.assert_close(few.T @ few, torch.diag(torch.tensor([1., 1, 0, 0, 0])))


def test_removed_directions_are_gone_and_the_rest_stays():
    basis = torch.linalg.qr(normal(CHANNELS, 3))[0]
    features = normal(2, CHANNELS, *GRID, seed=1)
    left = remove_directions(features, basis)
    assert torch.einsum('bchw,cr->brhw', left, basis).abs().max() < 1e-5
    torch.testing.assert_close(remove_directions(left, basis), left)
    plain = features.permute(0, 2, 3, 1) @ (torch.eye(CHANNELS) - basis @ basis.T)
    torch.testing.assert_close(left, plain.permute(0, 3, 1, 2))
    assert torch.equal(remove_directions(features, torch.zeros(CHANNELS, 2)), features)


def test_planted_places_are_found():
    features, places = planted()
    basis, explained = position_basis(covariance(features, places), 2, ridge=1e-6)
    expected = torch.zeros(CHANNELS, CHANNELS, dtype=torch.float64)
    expected[3, 3] = expected[5, 5] = 1
    torch.testing.assert_close(projector(basis), expected, rtol=0, atol=1e-3)
    assert explained[0] > 0.999
    assert abs(explained[1]) < 0.15  # of the content, by chance


def test_steps_equal_the_published_loop_with_exact_regressions():
    features, places = planted(strength=0.5)
    features = features @ normal(CHANNELS, CHANNELS, seed=3)
    basis, explained = position_basis(covariance(features, places), 6, ridge=1e-9)
    left, removed = features.double(), torch.zeros(CHANNELS, CHANNELS, dtype=torch.float64)
    for step in range(3):
        centred = left - left.mean(0)
        fit = LinearRegression().fit(centred.numpy(), places.numpy())
        assert explained[step] == pytest.approx(fit.score(centred.numpy(), places.numpy()), abs=1e-3)
        row, column = (vector / vector.norm() for vector in torch.from_numpy(fit.coef_).double())
        column = column - column.dot(row) * row
        both = torch.stack([row, column / column.norm()], 1)
        left = left - left @ both @ both.T
        removed += both @ both.T
    torch.testing.assert_close(projector(basis), removed, rtol=0, atol=1e-3)
    assert len(explained) == 4


def test_batches_do_not_matter():
    features, places = planted()
    bases = [position_basis(covariance(features, places, parts), 6)[0] for parts in (1, 5)]
    torch.testing.assert_close(projector(bases[0]), projector(bases[1]), rtol=0, atol=1e-6)


def test_features_without_position_lose_nothing():
    places = cell_places(GRID).flatten(0, 1)
    basis, explained = position_basis(covariance(torch.zeros(len(places), CHANNELS), places), 4)
    assert not basis.any()
    assert explained == [0, 0, 0]
    single = cell_places((1, 1)).flatten(0, 1).repeat(30, 1)  # no place differs
    assert not position_basis(covariance(normal(30, CHANNELS), single), 2)[0].any()


@pytest.mark.parametrize(('call', 'message'), [
    (lambda: black_image_basis(normal(20, CHANNELS), 12), r'rank=12 is impossible .* choose 1\.\.11'),
    (lambda: black_image_basis(normal(20, CHANNELS) / 0, 2), 'NaN or infinity'),
    (lambda: position_basis(torch.eye(CHANNELS + 2), 3), r'rank=3 is impossible.* even number in 2\.\.11'),
    (lambda: position_basis(torch.eye(CHANNELS + 2), 12), 'rank=12 is impossible'),
])
def test_impossible_requests_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
