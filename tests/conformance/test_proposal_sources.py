"""Every registered source of mask proposals keeps the contract of `ProposalSource`."""

import json
import pickle

import numpy as np
import pytest
import torch

from leopart_mm.apis.generate_masks import refine
from leopart_mm.clustering.position import cell_places
from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.masks import MaskInputs, ProposalFormat, ProposalImage, Proposals, ProposalSource
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.registry import TASK_UTILS
from tests.conformance.registered import registered_classes

GRID = (9, 10)
PATCH = 3
EXTENTS = [Extent(0, 9, 0, 10), Extent(1, 8, 2, 10)]  # the second image has padding
NAMES = ['a/first', 'second']

# Name of the case -> arguments of the source. Each must give other proposals than the first of its class.
CASES = {
    'ObjectSeedProposals': dict(),
    'ObjectSeedProposals of centred keys and softmax scores': dict(center_keys=True, softmax=True),
    'ObjectSeedProposals as published, with polygons': dict(compat=True, shape='polygons'),
    'PrincipalProposals': dict(threshold=0.4),
    'PrincipalProposals without a CRF': dict(threshold=0.4, crf=None),
    'PrincipalProposals with a high threshold': dict(threshold=0.8),
    'PrincipalProposals without position': dict(debias=dict(type='leopart_mm.BlackImageDebias', rank=2)),
}


def build(case):
    return TASK_UTILS.build(dict(CASES[case], type=f'leopart_mm.{case.split()[0]}'))


@pytest.fixture(params=CASES, ids=lambda case: case.replace(' ', '-'))
def source(request):
    return build(request.param)


def black_map(grid):
    """Features (12, h, w) of a black image: places, in two directions."""
    places = cell_places(grid)
    return torch.cat([1 + places, torch.zeros(*grid, 10)], -1).permute(2, 0, 1)


def scene(spoilt=0., constant=False):
    """What any source may look at of two images of three regions; `spoilt` is added to cells of padding."""
    generator = torch.Generator().manual_seed(5)
    regions = torch.zeros(GRID, dtype=torch.long)
    regions[:, 4:] = 1
    regions[5:, 2:7] = 2
    features = 3 * torch.randn(3, 12, generator=generator)[regions] + torch.rand(*GRID, 12, generator=generator)
    features = features.permute(2, 0, 1).repeat(2, 1, 1, 1)
    keys = torch.randn(3, 2, 4, generator=generator)[regions] + 0.1 * torch.rand(*GRID, 2, 4, generator=generator)
    keys = keys.repeat(2, 1, 1, 1, 1)
    if constant:
        features, keys = torch.ones_like(features), torch.ones_like(keys)
    features[1, :, :1] += spoilt
    features[1, :, :, :2] += spoilt
    keys[1, :1] += spoilt
    keys[1, :, :2] += spoilt
    class_q = keys[:, 4, 4, :, None] + 1
    token_k = torch.cat([class_q, keys.flatten(1, 2).transpose(1, 2)], dim=2)
    heads = torch.randn(2, 2, GRID[0] * GRID[1], 4, generator=generator)
    attention = torch.rand(2, 2, GRID[0] * GRID[1], generator=generator)
    colours = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200]], np.uint8)[0 * regions if constant else regions]
    pixels = colours.repeat(PATCH, 0).repeat(PATCH, 1)
    inputs = MaskInputs(NAMES, GRID, EXTENTS, 'cpu', features, attention, heads, heads, heads,
                        torch.from_numpy(pixels).permute(2, 0, 1).float().repeat(2, 1, 1, 1) / 60 - 2,
                        class_q=class_q, token_k=token_k, black_map=black_map)
    images = []
    for name, (top, bottom, left, right) in zip(NAMES, EXTENTS, strict=True):
        cut = np.ascontiguousarray(pixels[int(top * PATCH):int(bottom * PATCH), int(left * PATCH):int(right * PATCH)])
        images.append(ProposalImage(name, cut, cut.shape[:2], (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)))
    return inputs, images


def masks_of(found):
    return [[mask.tolist() for mask in proposals.masks()] for proposals in found]


def test_every_source_has_a_case():
    names = {cls.__name__ for cls in registered_classes(TASK_UTILS, ProposalSource)}
    assert names == {case.split()[0] for case in CASES}


def test_requests_and_format_are_what_a_run_reads(source):
    Requests(**source.requests)
    assert isinstance(source.format, ProposalFormat)
    assert source.format.suffix.startswith('.')


def test_settings_are_plain_and_tell_sources_apart(source):
    settings = source.settings()
    assert json.loads(json.dumps(settings)) == json.loads(json.dumps(source.settings()))
    described = {case: json.dumps(build(case).settings(), sort_keys=True) for case in CASES}
    assert list(described.values()).count(json.dumps(settings, sort_keys=True)) == 1


def test_each_image_gets_proposals_of_its_size(source):
    inputs, images = scene()
    found = source(inputs, images)
    assert len(found) == 2
    for proposals, image in zip(found, images, strict=True):
        assert isinstance(proposals, Proposals)
        assert tuple(proposals.size) == image.size
        masks = list(proposals.masks())
        assert len(proposals) == len(masks) > 0
        assert all(mask.shape == image.size and mask.dtype == bool and mask.any() for mask in masks)


def test_images_and_padding_do_not_change_each_others_proposals(source):
    inputs, images = scene()
    whole = masks_of(source(inputs, images))
    spoilt, _ = scene(spoilt=100.)
    assert masks_of(source(spoilt, images)) == whole
    second = MaskInputs(NAMES[1:], GRID, EXTENTS[1:], 'cpu', inputs.features[1:], inputs.attention[1:], inputs.q[1:],
                        inputs.k[1:], inputs.v[1:], inputs.images[1:], class_q=inputs.class_q[1:],
                        token_k=inputs.token_k[1:], black_map=black_map)
    assert masks_of(source(second, images[1:])) == whole[1:]


def test_drafts_travel_to_workers_and_depend_on_no_random_state(source):
    inputs, images = scene()
    whole = masks_of(source(inputs, images))
    torch.manual_seed(99)
    np.random.seed(99)
    drafts = pickle.loads(pickle.dumps(source.propose(inputs)))
    again = pickle.loads(pickle.dumps(source))
    assert masks_of([refine(again, (draft, image, None)) for draft, image in zip(drafts, images, strict=True)]) == whole


def test_files_hold_the_proposals_and_repeat_byte_by_byte(source, tmp_path):
    inputs, images = scene()
    files = {}
    for proposals, image in zip(source(inputs, images), images, strict=True):
        for folder in ('one', 'two'):
            source.format.write(tmp_path / folder / f'{image.name}{source.format.suffix}', proposals)
        one, two = (tmp_path / folder / f'{image.name}{source.format.suffix}' for folder in ('one', 'two'))
        assert one.read_bytes() == two.read_bytes()
        assert masks_of([source.format.read(one)]) == masks_of([proposals])
        files[image.name] = f'{image.name}.jpg'
    source.format.finish(tmp_path / 'one', files, tmp_path)


def test_constant_images_and_features_have_a_defined_result(source):
    inputs, images = scene(constant=True)
    found = source(inputs, images)
    assert [tuple(proposals.size) for proposals in found] == [image.size for image in images]
    assert all(len(proposals) == len(list(proposals.masks())) for proposals in found)
