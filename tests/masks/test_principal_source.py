"""Principal masks as a source of proposals."""

import json
import pickle

import numpy as np
import pytest
import torch

from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.masks import MaskInputs, ProposalImage, ProposalSource, principal_source
from leopart_mm.masks.crf import IMAGENET_MEAN, IMAGENET_STD, truncate_bytes
from leopart_mm.registry import TASK_UTILS
from tests.masks.test_principal import structured

GRID = (9, 8)


def source(**options):
    return TASK_UTILS.build(dict(type='leopart_mm.PrincipalProposals', **options))


def inputs(features, extents=None, names=('a', 'b')):
    return MaskInputs(names[:len(features)], GRID, extents or [Extent(0, 9, 0, 8)] * len(features), features=features)


def image(size=(36, 32), seed=0, **options):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    return ProposalImage('a', pixels, size, **options)


def test_settings_say_all_that_decides():
    assert isinstance(source(), ProposalSource)
    assert source().settings()['threshold'] == 0.4
    assert source().settings()['crf']['iterations'] == 10
    different = [source(), source(threshold=0.35), source(crf=None), source(crf=dict(iterations=3)),
                 source(max_free=0.1), source(anchor='any')]
    assert len({json.dumps(each.settings(), sort_keys=True) for each in different}) == len(different)
    assert source().requests == dict(maps=True)


def test_masks_come_from_the_cells_of_the_image_alone():
    """What lies in the padding, and what else is in the batch, changes nothing."""
    features, extents = structured(2), [Extent(0, 9, 0, 8), Extent(1, 7.5, 2, 8)]
    work = source(crf=None)
    drafts = work.propose(inputs(features, extents))
    spoilt = features.clone()
    spoilt[1, :, :1], spoilt[1, :, 8:], spoilt[1, :, :, :2] = torch.nan, 50, -9
    assert torch.equal(work.propose(inputs(spoilt, extents))[1].log_probs, drafts[1].log_probs)
    assert torch.equal(work.propose(inputs(features[1:], extents[1:]))[0].log_probs, drafts[1].log_probs)
    assert drafts[1].log_probs.shape[1:] == (7, 6)
    assert drafts[1].extent == Extent(0, 6.5, 0, 6)


def test_a_last_row_of_cells_that_is_partly_image_is_cut():
    """6.5 rows of cells are 26 pixels at 4 pixels per cell: a mask that starts at row 4 starts at pixel 16."""
    cells = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    features = cells[(torch.arange(9) >= 4).long()].T[None, :, :, None].expand(-1, -1, -1, 8)
    work = source(crf=None)
    found = work(inputs(features, [Extent(0, 6.5, 0, 8)]), [image((26, 32))])[0]
    assert found.labels.shape == (26, 32)
    assert found.labels.dtype == np.uint8
    assert (found.labels[:16] == found.labels[0, 0]).all()
    assert (found.labels[16:] == found.labels[-1, 0]).all()
    assert {*found.labels[:, 0]} == {1, 2}


def test_the_crf_moves_borders_to_those_of_the_picture():
    cells = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    features = inputs(cells[(torch.arange(9) >= 4).long()].T[None, :, :, None].expand(-1, -1, -1, 8))
    pixels = np.full((36, 32, 3), 40, np.uint8)
    pixels[18:] = 200
    picture = ProposalImage('a', pixels, pixels.shape[:2])
    coarse, fine = (source(crf=crf)(features, [picture])[0].labels for crf in (None, {}))
    for labels, border in ((coarse, 16), (fine, 18)):
        assert (labels[:border] == labels[0, 0]).all()
        assert (labels[border:] == 3 - labels[0, 0]).all()
    draft = source().propose(features)[0]
    assert np.array_equal(source().refine(pickle.loads(pickle.dumps(draft)), picture).labels, fine)


def test_the_crf_sees_truncated_bytes_on_request(monkeypatch):
    seen = []
    monkeypatch.setattr(principal_source, 'dense_crf', lambda scores, pixels, settings: seen.append(pixels) or scores)
    features, picture = inputs(structured(1)), image(mean=IMAGENET_MEAN, std=IMAGENET_STD)
    source()(features, [picture])
    source(crf=dict(bytes='truncate'))(features, [picture])
    assert np.array_equal(seen[0], picture.pixels)
    assert torch.equal(seen[1], truncate_bytes(seen[0]))
    assert (seen[1] != seen[0]).any()
    with pytest.raises(ValueError, match=r"a: PrincipalProposals\(crf=dict\(bytes='truncate'\)\)"):
        source(crf=dict(bytes='truncate'))(features, [image()])


def test_an_image_without_a_mask_is_all_ignored():
    found = source()(inputs(torch.zeros(1, 5, *GRID)), [image()])[0]
    assert len(found) == 0
    assert (found.labels == 255).all()


def test_an_image_smaller_than_a_patch_is_one_mask():
    found = source()(inputs(structured(1), [Extent(0, 0.5, 0, 0.75)]), [image((4, 6))])[0]
    assert np.array_equal(found.labels, np.ones((4, 6), np.uint8))


def test_features_that_are_missing_or_not_finite_are_named():
    with pytest.raises(ValueError, match='PrincipalProposals needs features'):
        source().propose(MaskInputs(['a'], GRID, [Extent(0, 9, 0, 8)]))
    features = structured(2)
    features[1, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match=r'features of streets/b\.png are NaN or infinite at 1 of 72'):
        source().propose(inputs(features, names=('a', 'streets/b.png')))


def test_more_masks_than_a_byte_holds_wrap_only_on_request():
    features = torch.eye(300).view(1, 300, 15, 20).repeat_interleave(3, 2).repeat_interleave(3, 3)
    batch = MaskInputs(['a'], (45, 60), [Extent(0, 45, 0, 60)], features=features)
    picture = image((45, 60))
    capped = source(crf=None)(batch, [picture])[0].labels
    assert len(np.unique(capped)) == 255
    wrapped = source(crf=None, max_masks=None)(batch, [picture])[0].labels
    assert 0 in wrapped
