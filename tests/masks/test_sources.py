"""Mask sources on plain tensors and files; what all have in common is in tests/conformance/test_mask_sources.py."""

import cv2
import numpy as np
import pytest
import torch

from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.masks import AttentionMasks, MaskFiles, MaskInputs, attention_foreground
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.registry import TASK_UTILS

GRID = (6, 8)


def inputs(names=('a.jpg', ), extents=None, **kwargs):
    return MaskInputs(names, GRID, extents or [Extent(0, 6, 0, 8)] * len(names), **kwargs)


def test_attention_is_averaged_over_heads_and_cut_to_each_image():
    attention = torch.rand(3, 2, *GRID, generator=torch.Generator().manual_seed(0))
    part = Extent(1, 6, 0, 6.5)
    batch = inputs('abc', [Extent(0, 6, 0, 8), part, Extent(0, 6, 0, 8)], attention=attention.flatten(2))
    masks = AttentionMasks(mass=0.4, min_component=1)(batch)
    expected = attention_foreground(attention.mean(1, keepdim=True), 0.4, min_component=1)[:, 0]
    assert torch.equal(masks[[0, 2]], expected[[0, 2]])
    alone = attention_foreground(attention[1:2, :, 1:, :7].mean(1, keepdim=True), 0.4, min_component=1)[0, 0]
    assert torch.equal(masks[1, 1:, :7], alone)


def test_more_mass_marks_more_cells():
    attention = torch.rand(1, 1, 48, generator=torch.Generator().manual_seed(1))
    counts = [int(AttentionMasks(mass, min_component=1)(inputs(attention=attention)).sum()) for mass in (.2, .5, .9)]
    assert counts == sorted(set(counts))


def test_what_attention_masks_need_is_named():
    with pytest.raises(ValueError, match=r'mass=1\.5 must lie in \(0, 1\]'):
        AttentionMasks(1.5)
    with pytest.raises(ValueError, match='no attention of the class token'):
        AttentionMasks()(inputs())


def test_another_backbone_must_have_the_grid_of_the_model():
    backbone = dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224',
                    model_kwargs=dict(img_size=32, patch_size=4, embed_dim=24, depth=1, num_heads=2))
    source = TASK_UTILS.build(dict(type='leopart_mm.AttentionMasks', backbone=backbone))
    with pytest.raises(ValueError, match=r'grid of \(8, 8\) patches, the model one of \(6, 8\)'):
        source(inputs(others={source.network: source.network(torch.zeros(1, 3, 32, 32), Requests(attention=True))}))
    with pytest.raises(ValueError, match='no features of the other backbone'):
        source(inputs())


def test_files_are_resized_to_the_cells_of_the_image(tmp_path):
    mask = np.zeros((20, 24), np.uint8)
    mask[:8, :12] = 7
    cv2.imwrite(str(tmp_path / 'a.png'), mask)
    found = MaskFiles(str(tmp_path))(inputs(extents=[Extent(1, 6, 2, 8)]))
    expected = torch.zeros(1, *GRID)
    expected[0, 1:3, 2:5] = 1
    assert torch.equal(found, expected)


def test_colours_and_an_ignored_value(tmp_path):
    colours = np.zeros((6, 8, 3), np.uint8)
    colours[0, 0] = 0, 0, 9
    cv2.imwrite(str(tmp_path / 'a.png'), colours)
    assert MaskFiles(str(tmp_path))(inputs()).nonzero().tolist() == [[0, 0, 0]]
    labels = np.zeros((6, 8), np.uint8)
    labels[1, 1], labels[2, 2] = 1, 255
    cv2.imwrite(str(tmp_path / 'a.png'), labels)
    assert MaskFiles(str(tmp_path))(inputs()).nonzero().tolist() == [[0, 1, 1], [0, 2, 2]]
    assert MaskFiles(str(tmp_path), ignore=255)(inputs()).nonzero().tolist() == [[0, 1, 1]]


def test_files_that_cannot_be_used_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere does not exist'):
        MaskFiles(str(tmp_path / 'nowhere'))
    source = MaskFiles(str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r'image b/a\.jpg has no foreground mask .*a\.png'):
        source(inputs(['b/a.jpg']))
    with pytest.raises(ValueError, match="several are called 'a'"):
        source(inputs(['b/a.jpg', 'c/a.jpg']))
    (tmp_path / 'a.png').write_bytes(b'no image')
    with pytest.raises(ValueError, match=r'a\.png could not be read: it is no image file'):
        source(inputs())
