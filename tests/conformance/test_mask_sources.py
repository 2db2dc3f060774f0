"""Every registered mask source keeps the contract of `MaskSource`."""

import cv2
import numpy as np
import pytest
import torch

from leopart_mm.geometry.patch_grid import Extent, upsample_labels
from leopart_mm.masks import MaskInputs, MaskSource
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.registry import TASK_UTILS
from tests.conformance.registered import registered_classes

GRID = (8, 10)
NAMES = ['a/first.jpg', 'b/second.png']
EXTENTS = [Extent(0, 8, 0, 10), Extent(1, 7.5, 2, 10)]
BACKBONE = dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224',
                model_kwargs=dict(img_size=40, patch_size=4, embed_dim=24, depth=1, num_heads=2))

# Name of the case -> arguments of the source; 'FOLDER' is one with a mask per image.
CASES = {
    'AttentionMasks': dict(mass=0.5),
    'AttentionMasks of another backbone': dict(mass=0.5, backbone=BACKBONE),
    'BorderContrastMasks': dict(share=0.3, min_component=1),
    'MaskFiles': dict(folder='FOLDER'),
}


@pytest.fixture(params=CASES, ids=lambda case: case.replace(' ', '-'))
def source(request, tmp_path):
    generator = np.random.default_rng(0)
    for name in ('first', 'second'):
        cv2.imwrite(str(tmp_path / f'{name}.png'), generator.integers(0, 2, (30, 40), np.uint8) * 255)
    arguments = {key: str(tmp_path) if value == 'FOLDER' else value for key, value in CASES[request.param].items()}
    torch.manual_seed(0)
    return TASK_UTILS.build(dict(arguments, type=f'leopart_mm.{request.param.split()[0]}'))


def inputs_of(source, spoilt=0.):
    """What the source requests of two images, and nothing else; `spoilt` is added to cells of padding."""
    asked = Requests(**source.requests)
    generator = torch.Generator().manual_seed(3)
    attention = torch.rand(2, 2, *GRID, generator=generator)
    attention[1, :, :1] += spoilt
    attention[1, :, :, :2] += spoilt
    images = torch.randn(2, 3, GRID[0] * 4, GRID[1] * 4, generator=generator)
    heads = torch.randn(2, 2, GRID[0] * GRID[1], 4, generator=generator)
    features = torch.randn(2, 5, *GRID, generator=generator)
    features[1, 0, :1] += spoilt
    features[1, 0, :, :2] += spoilt
    qkv = heads if asked.qkv is not None else None
    others = {network: network(images, requests) for network, requests in asked.networks}
    return MaskInputs(NAMES, GRID, EXTENTS, features=features if asked.maps else None,
                      attention=attention.flatten(2) if asked.attention else None,
                      images=images if asked.images else None, q=qkv, k=qkv, v=qkv, others=others)


def test_every_source_has_a_case():
    assert {cls.__name__ for cls in registered_classes(TASK_UTILS, MaskSource)} == {case.split()[0] for case in CASES}


def test_masks_are_0_and_1_and_0_in_padding(source):
    masks = source(inputs_of(source))
    assert masks.dtype == torch.float32
    assert len(masks) == 2
    masks = masks if masks.shape[-2:] == GRID else upsample_labels(masks, GRID, rule='corner')
    assert masks.shape == (2, *GRID)
    assert set(masks.unique().tolist()) == {0., 1.}
    assert masks[1].any()
    assert not masks[1, :1].any()
    assert not masks[1, :, :2].any()


def test_padding_does_not_change_a_mask(source):
    assert torch.equal(source(inputs_of(source)), source(inputs_of(source, spoilt=100.)))


def test_images_do_not_change_each_others_masks(source):
    inputs = inputs_of(source)
    whole = source(inputs)
    second = MaskInputs(NAMES[1:], GRID, EXTENTS[1:], **{
        name: value if value is None else value[1:] for name in ('features', 'attention', 'images')
        for value in (getattr(inputs, name), )},
        others={network: features.select([1]) for network, features in inputs.others.items()})
    assert torch.equal(source(second)[0], whole[1])


def test_it_works_after_release(source):
    before = source(inputs_of(source))
    source.release()
    assert torch.equal(source(inputs_of(source)), before)
