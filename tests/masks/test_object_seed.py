import numpy as np
import pytest
import torch
from scipy import ndimage

from leopart_mm.masks.object_seed import ObjectSeedSettings, grow_mask, propose_patches, seed_component


def _inputs(heads=3, n=12, d=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, heads, 1 + n, d, generator=generator)


def test_right_rule_proposes_best_patches_of_negative_scores():
    scores = torch.tensor([-4., -1., -3., -2.])
    kept, proposed = propose_patches(scores, ObjectSeedSettings(topk=1.))
    assert kept.tolist() == proposed.tolist() == [1]
    kept, proposed = propose_patches(scores, ObjectSeedSettings(topk=1., compat=True))
    assert proposed[0] not in kept  # the published seed is one that was not kept


def test_non_finite_or_zero_keys_give_no_object():
    q, k = _inputs()
    for value in (0., float('nan'), float('inf')):
        broken = k.clone()
        broken[:, 1:] = value
        found = grow_mask(q, broken, 4)
        assert found.seed is None
        assert not found.mask.any()
        assert grow_mask(q, broken, 4, ObjectSeedSettings(compat=True)).mask.all()  # as published


def test_heads_are_clamped_and_centring_ignores_a_constant():
    q, k = _inputs()
    assert torch.equal(grow_mask(q, k, 4).scores, grow_mask(q, k, 4, ObjectSeedSettings(heads=3)).scores)
    settings = ObjectSeedSettings(center_keys=True, softmax=True)
    shifted = k + torch.full((3, 1, 4), 2.)
    assert torch.equal(grow_mask(q, k, 4, settings).mask, grow_mask(q, shifted, 4, settings).mask)
    assert not torch.equal(grow_mask(q, k, 4).mask, grow_mask(q, shifted, 4).mask)


def test_component_has_four_neighbours():
    cells = torch.tensor([[1, 1, 0], [0, 0, 1], [0, 0, 1]]).bool()
    assert seed_component(cells, 0).tolist() == [[True, True, False], [False] * 3, [False] * 3]
    assert not seed_component(cells, 2).any()
    for cells in torch.rand(20, 9, 13, generator=torch.Generator().manual_seed(0)) > 0.4:
        labels, _ = ndimage.label(cells.numpy())
        seed = int(cells.flatten().nonzero()[0])
        assert np.array_equal(seed_component(cells, seed).numpy(), labels == labels.flat[seed])


@pytest.mark.parametrize('options', [dict(), dict(softmax=True), dict(center_keys=True), dict(compat=True)])
def test_the_mask_is_that_of_all_affinities(options):
    """The n x n form of docs/methods/maskdistill.md §3, and the same from keys that lie otherwise in memory."""
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        q, k = torch.randn(2, 3, 1 + 7 * 9, 5, generator=generator) + 0.5
        settings = ObjectSeedSettings(heads=2, **options)
        found = grow_mask(q, k, 9, settings)
        keys = k[:, 1:].transpose(0, 1).flatten(1)
        keys = keys - keys.mean(0) if settings.center_keys else keys
        affinity = keys @ keys.T
        products = q[:2, :1] @ k[:2].transpose(1, 2)
        products = (products / 5**0.5).softmax(-1) if settings.softmax else products
        torch.testing.assert_close(found.scores, products[:, 0, 1:].mean(0))
        sources = [int(j) for j in found.proposed if affinity[found.proposed[0], j] > 0]
        assert (found.seed, found.source_nodes.tolist()) == (int(found.proposed[0]), sources)
        labels, _ = ndimage.label((affinity[sources].sum(0) > 0).view(7, 9).numpy())
        assert np.array_equal(found.mask.numpy(), labels == labels.flat[found.seed])
        side_by_side = k.transpose(0, 1).contiguous().transpose(0, 1)
        assert torch.equal(grow_mask(q[:, :1], side_by_side, 9, settings).mask, found.mask)
