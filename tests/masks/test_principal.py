"""Principal masks: orientation, batches, and the cases in which there is little to split."""

from dataclasses import fields

import pytest
import torch

from leopart_mm.masks.principal import HELD_BYTES, PrincipalSettings, principal_masks
from leopart_mm.masks.principal_cleaning import mask_log_probs


def structured(count=1, channels=64, grid=(9, 8), seed=0, mean=0.3):
    """Blocks of three kinds around a common mean, with noise."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(0, 4, (count, 3, 3), generator=generator)
    kinds = kinds.repeat_interleave(3, 1).repeat_interleave(3, 2)[:, :grid[0], :grid[1]]
    centres = torch.randn(4, channels, generator=generator)
    features = centres[kinds] + mean + 0.4 * torch.randn(*kinds.shape, channels, generator=generator)
    return features.permute(0, 3, 1, 2).contiguous()


def assert_equal(one, other):
    for field in fields(one):
        assert torch.equal(getattr(one, field.name), getattr(other, field.name)), field.name


@pytest.mark.parametrize('channels', [12, 64])  # eigh, power iteration
def test_the_first_mask_is_the_one_of_the_definition(channels):
    features = structured(channels=channels)
    found = principal_masks(features)[0]
    cells = features[0].flatten(1).T.double()
    unit = cells / cells.norm(dim=1, keepdim=True)
    direction = torch.linalg.svd(cells - cells.mean(0))[2][0]
    cosines = unit @ direction
    direction, cosines = (direction, cosines) if cosines.max() > (-cosines).max() else (-direction, -cosines)
    similarity = unit @ unit[cosines.argmax()]
    torch.testing.assert_close(found.directions[0], direction.float(), rtol=0, atol=1e-6)
    assert found.anchors[0] == cosines.argmax()
    assert torch.equal(found.soft_masks[0].flatten() > 0, similarity >= 0.4)
    assert torch.equal(found.free[0].flatten(), similarity < 0.4)
    torch.testing.assert_close(found.direction_similarity[0].flatten(), cosines.float())


def test_masks_are_disjoint_and_leave_few_cells_free():
    for found in principal_masks(structured(4)):
        assert (found.soft_masks > 0).sum(0).max() == 1
        assert found.free[-1].float().mean() <= 0.05
        assert found.free[-2].float().mean() > 0.05
        kept = found.soft_masks[found.soft_masks > 0]
        assert 0.4 <= kept.min() < kept.max() <= 1


def test_masks_do_not_depend_on_the_batch(monkeypatch):
    features = structured(5)
    together = principal_masks(features)
    for index in range(5):
        assert_equal(principal_masks(features[index:index + 1])[0], together[index])
    assert_equal(principal_masks(features.flip(0))[0], together[4])
    monkeypatch.setitem(HELD_BYTES, 'cpu', 2**28)
    assert len({len(found) for found in together}) > 1  # so that images leave the batch one by one
    for one, other in zip(principal_masks(features), together, strict=True):
        assert torch.equal(one.anchors, other.anchors)
        assert torch.equal(one.free, other.free)
        torch.testing.assert_close(one.soft_masks, other.soft_masks, rtol=0, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')
def test_masks_on_a_gpu_are_those_of_the_cpu():
    features = structured(4)
    for one, other in zip(principal_masks(features.cuda()), principal_masks(features), strict=True):
        assert one.free.device.type == 'cuda'
        assert torch.equal(one.free.cpu(), other.free)
        assert torch.equal(one.anchors.cpu(), other.anchors)
        torch.testing.assert_close(one.directions.cpu(), other.directions, rtol=0, atol=1e-6)


def test_masks_of_the_mirrored_image_are_mirrored():
    features = structured(3)
    for found, mirrored in zip(principal_masks(features), principal_masks(features.flip(3)), strict=True):
        assert torch.equal(found.free, mirrored.free.flip(2))


def test_given_signs_turn_directions_and_change_masks():
    features = structured()
    default = principal_masks(features)[0]
    assert_equal(principal_masks(features, directions=[default.directions])[0], default)
    turned = principal_masks(features, directions=[-default.directions[:1]])[0]
    torch.testing.assert_close(turned.directions[0], -default.directions[0])
    assert turned.anchors[0] != default.anchors[0]


def test_library_signs_are_those_of_the_randomised_svd():
    features = structured(mean=0.)
    state = torch.get_rng_state()
    found = principal_masks(features, PrincipalSettings(orientation='library'))[0]
    assert torch.equal(torch.get_rng_state(), state)
    library = torch.pca_lowrank(features[0].flatten(1).T, q=3, niter=100)[2][:, 0]
    torch.testing.assert_close(found.directions[0], library, rtol=0, atol=1e-5)


@pytest.mark.parametrize('channels', [5, 64])
@pytest.mark.parametrize('grid', [(6, 7), (1, 1), (1, 2), (2, 1), (2, 2), (1, 9)])
def test_a_constant_image_is_one_mask(channels, grid):
    cell = torch.randn(channels, generator=torch.Generator().manual_seed(0))
    found = principal_masks(cell[None, :, None, None].expand(2, -1, *grid))
    assert [len(masks) for masks in found] == [1, 1]
    assert (found[0].soft_masks > 0.999).all()
    assert found[0].anchors.tolist() == [0]
    log_probs = mask_log_probs(found[0].soft_masks, PrincipalSettings())
    assert (log_probs.argmax(0) == 1).all()


@pytest.mark.parametrize('grid', [(1, 1), (1, 2), (2, 2), (5, 5)])
def test_maps_below_the_rank_of_the_published_pca_work(grid):
    found = principal_masks(torch.randn(1, 64, *grid, generator=torch.Generator().manual_seed(1)))[0]
    assert found.free[-1].sum() <= 0.05 * grid[0] * grid[1]
    assert mask_log_probs(found.soft_masks, PrincipalSettings()).isfinite().all()


def test_zeros_have_no_mask_and_cells_of_zeros_are_in_none():
    features = structured(2)
    features[0] = 0
    features[1, :, :3] = 0
    nothing, rest = principal_masks(features)
    assert len(nothing) == 0
    assert nothing.soft_masks.shape == nothing.free.shape == (0, 9, 8)
    assert torch.equal(rest.free[-1], features[1].abs().sum(0) == 0)
    published = principal_masks(features[:1], PrincipalSettings.published())[0]
    assert len(published) == 4
    assert published.soft_masks.isnan().all()


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_features_that_are_not_finite_are_an_error_that_names_the_image(value):
    features = structured(2)
    features[1, 3, 2, 2] = value
    with pytest.raises(ValueError, match=r'features of b\.jpg are NaN or infinite at 1 of 72 cells'):
        principal_masks(features, names=['a.jpg', 'b.jpg'])
    with pytest.raises(ValueError, match='image 1 of the batch'):
        principal_masks(features)


def test_one_dominating_mask_ends_the_loop():
    features = torch.ones(1, 16, 10, 10)
    features[0, :, 0, :5] = -torch.arange(1., 17)[:, None]  # 5 of 100 cells: as many as may stay free
    found = principal_masks(features, directions=[torch.ones(1, 16)])[0]
    assert len(found) == 1
    assert found.free[-1].sum() == 5
    assert len(principal_masks(features, PrincipalSettings(max_free=0.), [torch.ones(1, 16)])[0]) == 2


def test_the_number_of_masks_is_capped():
    features = torch.eye(300).view(1, 300, 15, 20)  # no two cells are similar
    found = principal_masks(features, PrincipalSettings(max_free=0.))[0]
    assert len(found) == 254
    assert len(principal_masks(features, PrincipalSettings(max_masks=3))[0]) == 3
    assert len(principal_masks(features, PrincipalSettings(max_masks=None))[0]) == 285


@pytest.mark.parametrize('wrong', [dict(threshold=0), dict(threshold=1.1), dict(max_free=1), dict(max_masks=0),
                                   dict(stalled=1), dict(orientation='left'), dict(anchor='x'), dict(no_mask='x'),
                                   dict(erased='x'), dict(single_background='x')])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=f'PrincipalSettings: {next(iter(wrong))}='):
        PrincipalSettings(**wrong)


def test_no_image_gives_no_masks_and_no_cell_is_an_error():
    assert principal_masks(torch.zeros(0, 3, 2, 2)) == []
    with pytest.raises(ValueError, match=r'\(B, C, h, w\) with cells'):
        principal_masks(torch.zeros(1, 3, 0, 2))
