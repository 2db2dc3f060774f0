import torch

from leopart_mm.masks.object_seed import ObjectSeedSettings, grow_mask, propose_patches, seed_component


def _inputs(heads=3, n=12, d=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, heads, 1 + n, d, generator=generator)


def test_right_rule_proposes_best_patches_of_negative_scores():
    scores = torch.tensor([-4., -1., -3., -2.])
    kept, proposed = propose_patches(scores, ObjectSeedSettings(topk=1.))
    assert kept.tolist() == [False, True, False, False]
    assert proposed.tolist() == [1]
    kept, proposed = propose_patches(scores, ObjectSeedSettings(topk=1., compat=True))
    assert proposed[0] not in kept.nonzero()  # the published seed is one that was not kept


def test_non_finite_or_zero_keys_give_no_object():
    q, k = _inputs()
    for value in (0., float('nan'), float('inf')):
        broken = k.clone()
        broken[:, 1:] = value
        found = grow_mask(q, broken, 4)
        assert found.seed is None
        assert not found.mask.any()


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
