"""Every registered PositionDebias keeps the contract of its base."""

import copy
import json

import pytest
import torch

from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.debias import PositionDebias
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.state import NotFittedError
from leopart_mm.registry import MODELS
from tests.conformance.registered import registered_classes

GRID, CHANNELS = (4, 5), 6
EXTENTS = [Extent(0, 4, 0, 5), Extent(0, 4, 1, 5)]

# Name of the case -> arguments. A class without a case fails below.
CASES = {
    'BlackImageDebias': dict(rank=2),
    'PositionRegressionDebias': dict(rank=4),
}


def black_map(grid):
    """Features (C, h, w) that depend on the place alone."""
    return torch.rand(CHANNELS, *grid, generator=torch.Generator().manual_seed(sum(grid)))


def batches(padding=0.):
    """Two batches of two images; cells of padding hold `padding`."""
    found = []
    for number in range(2):
        maps = torch.randn(2, CHANNELS, *GRID, generator=torch.Generator().manual_seed(number))
        maps[1, :, :, 0] += padding
        found.append(FeatureBatch(DenseFeatures((maps, ), GRID), None, [f'{number}{i}' for i in range(2)], EXTENTS))
    return found


def build(name, fitted=True, **kwargs):
    debias = MODELS.build(dict(CASES[name], type=f'leopart_mm.{name}'))
    debias.black_map = black_map
    if fitted:
        debias.fit(batches(**kwargs), -1)
        debias(batches()[0].features.maps[0])
        debias.finish()
    return debias


@pytest.fixture(params=CASES)
def name(request):
    return request.param


def test_every_debias_has_a_case():
    assert {cls.__name__ for cls in registered_classes(MODELS, PositionDebias)} == set(CASES)


def test_it_is_a_projection_that_leaves_the_shape(name):
    debias, maps = build(name), batches()[0].features.maps[0]
    found = debias(maps)
    assert found.shape == maps.shape
    assert not torch.allclose(found, maps)
    torch.testing.assert_close(debias(found), found)
    torch.testing.assert_close(debias(2 * maps + 1), 2 * found + debias(torch.ones_like(maps)))
    torch.testing.assert_close(debias(maps[1:]), found[1:])  # images do not change each other


def test_padding_is_not_fitted_on(name):
    assert torch.equal(build(name).bases, build(name, padding=100.).bases)


def test_what_is_fitted_travels_in_the_state_dict(name):
    debias, other = build(name), build(name, fitted=False)
    maps = batches()[1].features.maps[0]
    with pytest.raises(NotFittedError, match=f'{name} is not fitted'):
        other(maps)
    other.black_map = None
    other.load_state_dict(debias.state_dict())
    assert torch.equal(other(maps), debias(maps))
    assert torch.equal(copy.deepcopy(other)(maps), debias(maps))


def test_other_settings_refuse_the_state(name):
    other = MODELS.build(dict(CASES[name], type=f'leopart_mm.{name}', rank=CASES[name]['rank'] - 2 or 4))
    with pytest.raises(ValueError, match=rf'fitted with rank={CASES[name]["rank"]}'):
        other.load_state_dict(build(name).state_dict())


def test_settings_are_plain_and_channels_are_checked(name):
    debias = build(name)
    assert json.loads(json.dumps(debias.settings()))['rank'] == CASES[name]['rank']
    with pytest.raises(ValueError, match=rf'{name} was fitted on {CHANNELS} channels, but the backbone gives 3'):
        debias(torch.zeros(1, 3, *GRID))
    with pytest.raises(ValueError, match='rank=0'):
        MODELS.build(dict(type=f'leopart_mm.{name}', rank=0))
