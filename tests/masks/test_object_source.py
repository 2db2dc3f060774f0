"""Rows of the table of degenerate input (docs/methods/maskdistill.md §17), and what the source says and refuses."""

import numpy as np
import pytest
import torch

from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.masks import MaskInputs, ObjectSeedProposals, ProposalImage, object_source

GRID, PATCH, HEADS, WIDTH = (4, 5), 4, 3, 2
OBJECT = torch.zeros(GRID, dtype=torch.bool)
OBJECT[1:3, 1:4] = True


def inputs_of(patch_keys):
    """One image of the given keys (h, w, heads, d), whose class token looks for what the object's keys have."""
    keys = torch.cat([torch.ones(1, HEADS, WIDTH), patch_keys.reshape(-1, HEADS, WIDTH)]).transpose(0, 1)
    return MaskInputs(['name'], GRID, [Extent(0, GRID[0], 0, GRID[1])], class_q=torch.ones(1, HEADS, 1, WIDTH),
                      token_k=keys[None])


def image_of(size=(16, 20), original_size=(16, 20)):
    return ProposalImage('name', np.zeros((*size, 3), np.uint8), original_size)


def object_keys():
    return torch.where(OBJECT[..., None, None], 1., -1.).expand(*GRID, HEADS, WIDTH).clone()


def masks(patch_keys, image=None, **options):
    found, = ObjectSeedProposals(**options)(inputs_of(patch_keys), [image or image_of()])
    return found, list(found.masks())


def test_the_object_is_found_at_the_size_of_the_file():
    found, (mask, ) = masks(object_keys())
    assert np.array_equal(mask, OBJECT.numpy().repeat(PATCH, 0).repeat(PATCH, 1))
    entry, = found.annotations
    assert (entry['score'], entry['area'], entry['bbox']) == (1., 96, [4., 4., 12., 8.])
    _, (mask, ) = masks(object_keys(), image_of((16, 20), (32, 40)), threshold=127)
    assert np.array_equal(mask, OBJECT.numpy().repeat(2 * PATCH, 0).repeat(2 * PATCH, 1))
    _, (wide, ) = masks(object_keys(), image_of((16, 20), (32, 40)))  # published: all that is not 0
    assert wide[mask].all()
    assert wide.sum() > mask.sum()


def test_padding_below_the_patches_is_cut():
    """An image of 14 x 18 pixels fills its last row and column of patches in part."""
    inputs = inputs_of(torch.ones(*GRID, HEADS, WIDTH))
    inputs.extents = [Extent(0, 3.5, 0, 4.5)]
    found, = ObjectSeedProposals()(inputs, [image_of((14, 18), (14, 18))])
    assert found.annotations[0]['area'] == 14 * 18


@pytest.mark.parametrize('value', [0., float('nan'), float('inf')])
def test_keys_without_a_meaning_give_no_object(value):
    everywhere, in_a_patch = torch.full((*GRID, HEADS, WIDTH), value), object_keys()
    in_a_patch[1, 2] = value
    for keys in (everywhere, *[in_a_patch] * (value != 0)):
        found, ours = masks(keys)
        assert (found.size, ours, found.annotations) == ((16, 20), [], [])
        _, (published, ) = masks(keys, compat=True)
        assert published.all()


def test_a_component_that_fills_the_image_is_kept():
    found, (mask, ) = masks(torch.ones(*GRID, HEADS, WIDTH))
    assert mask.all()
    assert found.largest_share() == 1


def test_a_mask_that_vanishes_or_has_no_outline_is_no_object():
    keys = -torch.ones(*GRID, HEADS, WIDTH)
    keys[0, 0] = 1.  # the only patch that the class token looks at
    small = image_of((16, 20), (3, 4))
    _, (mask, ) = masks(keys, small)
    assert mask.sum() == 2
    for options in (dict(threshold=200), dict(shape='polygons')):
        found, ours = masks(keys, small, **options)
        assert (found.size, ours, found.annotations) == ((3, 4), [], [])


def test_polygons_are_written_by_option():
    found, (mask, ) = masks(object_keys(), shape='polygons')
    entry, = found.annotations
    assert [len(polygon) for polygon in entry['segmentation']] == [10]  # a square, closed
    assert 0 < mask.sum() < entry['area'] == 96


def test_heads_that_the_network_lacks_are_said_once(monkeypatch):
    said = []
    monkeypatch.setattr(object_source, 'print_log', lambda text, logger: said.append(text))
    ObjectSeedProposals(heads=3).propose(inputs_of(object_keys()))
    source = ObjectSeedProposals(heads=5)
    for _ in range(2):
        source.propose(inputs_of(object_keys()))
    assert said == ['ObjectSeedProposals: the network has 3 heads, so the scores are of all of them instead of the '
                    'first 5.']


@pytest.mark.parametrize(('options', 'message'), [
    (dict(topk=0), 'topk=0'), (dict(shape='png'), "shape='png' must be one of rle, polygons"),
    (dict(threshold=255), 'threshold=255 must lie in 0..254'), (dict(first_id=-1), 'first_id=-1')])
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ObjectSeedProposals(**options)


def test_what_a_batch_lacks_and_a_crop_are_named():
    with pytest.raises(ValueError, match='extract it with what `requests` names'):
        ObjectSeedProposals().propose(MaskInputs(['name'], GRID, [Extent(0, 4, 0, 5)]))
    with pytest.raises(ValueError, match='16x16 pixels of 20x16: leave out crops'):
        masks(object_keys(), image_of((16, 16), (16, 20)))
