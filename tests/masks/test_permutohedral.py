import math
from collections import defaultdict

import numpy as np
import pytest
import torch

from leopart_mm.masks import permutohedral
from leopart_mm.masks.permutohedral import build_lattice


def points(number=120, dims=5, spread=2., seed=0):
    return torch.rand(number, dims, generator=torch.Generator().manual_seed(seed)) * spread


def reference(features, values):
    """Spec §5.3 point by point, with a dict for the vertices, in float64."""
    dims = features.shape[1]
    corners = dims + 1
    places = []
    for point in features.double().numpy():
        scaled = [point[i] * math.sqrt(2 / 3) * corners / math.sqrt((i + 1) * (i + 2)) for i in range(dims)]
        elevated = [sum(scaled)] + [sum(scaled[j:]) - j * scaled[j - 1] for j in range(1, corners)]
        rounded = [round(value / corners) for value in elevated]
        nearest = [corners * value for value in rounded]
        ranks = [0] * corners
        for i in range(corners):
            for j in range(i + 1, corners):
                ranks[i if elevated[i] - nearest[i] < elevated[j] - nearest[j] else j] += 1
        for j in range(corners):
            ranks[j] += sum(rounded)
            if ranks[j] < 0:
                ranks[j], nearest[j] = ranks[j] + corners, nearest[j] + corners
            elif ranks[j] > dims:
                ranks[j], nearest[j] = ranks[j] - corners, nearest[j] - corners
        weights = [0.] * (corners + 1)
        for j in range(corners):
            part = (elevated[j] - nearest[j]) / corners
            weights[dims - ranks[j]] += part
            weights[dims - ranks[j] + 1] -= part
        weights[0] += 1 + weights[corners]
        keys = [tuple(nearest[j] + k - (0 if ranks[j] <= dims - k else corners) for j in range(dims))
                for k in range(corners)]
        places.append(list(zip(keys, weights, strict=False)))
    held = defaultdict(lambda: np.zeros(values.shape[1]))
    for place, value in zip(places, values.double().numpy(), strict=True):
        for key, weight in place:
            held[key] = held[key] + weight * value
    for axis in range(corners):
        shift = [dims if other == axis else -1 for other in range(dims)]
        blurred = {}
        for key, value in held.items():
            sides = (tuple(k + sign * s for k, s in zip(key, shift, strict=True)) for sign in (1, -1))
            blurred[key] = value + 0.5 * sum((held[side] for side in sides if side in held), np.zeros_like(value))
        held = blurred
    scale = 1 / (1 + 2.**-dims)
    return np.array([scale * sum(weight * held[key] for key, weight in place) for place in places])


@pytest.mark.parametrize('by_point', [False, True])
@pytest.mark.parametrize('dims', [1, 2, 3, 5])
def test_filter_is_that_of_the_points_one_by_one(dims, by_point):
    features, values = points(dims=dims), torch.rand(120, 4, generator=torch.Generator().manual_seed(1))
    found = build_lattice(features, by_point).filter(values)
    np.testing.assert_allclose(found, reference(features, values), rtol=1e-4, atol=1e-4)


def test_negative_and_equal_points():
    features = torch.cat([points(60) - 1, torch.zeros(5, 5)])
    values = torch.rand(65, 2)
    found = build_lattice(features).filter(values)
    np.testing.assert_allclose(found, reference(features, values), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(build_lattice(features).normalised().filter(torch.ones(65, 1))[60:],
                               build_lattice(features).normalised().filter(torch.ones(65, 1))[60:61].expand(5, 1))


def test_weights_are_shares():
    lattice = build_lattice(points())
    shares = lattice.slices.values.view(120, 6) * (1 + 2.**-5)
    torch.testing.assert_close(shares.sum(1), torch.ones(120))
    assert shares.min() > -1e-6
    torch.testing.assert_close(lattice.splat.values.sum(), torch.tensor(120.))


def test_it_is_near_the_gaussian():
    rows, columns = torch.meshgrid(torch.arange(20.), torch.arange(24.), indexing='ij')
    features = torch.stack([columns.flatten(), rows.flatten()], 1) / 3
    values = torch.rand(480, 1, generator=torch.Generator().manual_seed(2))
    kernel = (-0.5 * torch.cdist(features, features).square()).exp()
    norm = kernel.sum(1, keepdim=True).rsqrt()
    found = build_lattice(features).normalised().filter(values)
    assert (found - norm * (kernel @ (norm * values))).abs().max() < 0.05
    assert (values - found).abs().max() > 0.3


def test_memory_is_bounded_without_a_change(monkeypatch):
    features, values = points(700), torch.rand(700, 10, generator=torch.Generator().manual_seed(1))
    lattice = build_lattice(features).normalised(2.)
    whole = lattice.filter(values)
    monkeypatch.setattr(permutohedral, 'BUFFER_BYTES', 4 * len(lattice.splat) * 3)  # 3 columns at a time
    assert torch.equal(lattice.filter(values), whole)
    monkeypatch.setattr(permutohedral, 'BUFFER_BYTES', 1)
    assert torch.equal(lattice.filter(values), whole)
    monkeypatch.setattr(permutohedral, 'BLOCK_POINTS', 64)
    assert torch.equal(build_lattice(features).normalised(2.).filter(values), whole)


def test_a_result_is_added_to_what_is_there():
    lattice, values = build_lattice(points()), torch.rand(120, 3)
    out = torch.ones(120, 3)
    assert lattice.filter(values, out) is out
    torch.testing.assert_close(out, 1 + lattice.filter(values))


def test_it_works_without_sparse_products_in_torch(monkeypatch):
    lattice, values = build_lattice(points()), torch.rand(120, 3)
    expected = lattice.filter(values)
    monkeypatch.setattr(torch.backends.mkl, 'is_available', lambda: False)
    torch.testing.assert_close(lattice.filter(values), expected)
    monkeypatch.setattr(permutohedral, 'BUFFER_BYTES', 4 * len(lattice.splat) * 2)
    torch.testing.assert_close(lattice.filter(values), expected)


def test_what_was_in_the_result_does_not_matter():
    """Buffers come as memory gives them, and that may be NaN."""
    lattice, values = build_lattice(points()), torch.rand(120, 3)
    held = torch.full((len(lattice.splat), 5), float('nan'))
    lattice.splat.multiply(values, held[:, 1:4])
    expected = lattice.splat.multiply(values, torch.zeros(len(lattice.splat), 3))
    assert torch.equal(held[:, 1:4], expected)
    assert held[:, [0, 4]].isnan().all()
