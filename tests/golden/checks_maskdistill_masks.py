"""Golden checks of MaskDistill's masks: the mass rule, growing from the seed, annotations, and all of it at once."""

from unittest import mock

import numpy as np
import torch
from pycocotools import mask as mask_utils

from leopart_mm.apis.proposal_network import ProposalNetwork
from leopart_mm.datasets.transforms.square import ResizeShorterSide
from leopart_mm.engine.config import load_config
from leopart_mm.masks import ObjectSeedProposals, object_seed
from leopart_mm.masks.coco_masks import object_annotation, resize_patch_mask
from leopart_mm.masks.object_seed import ObjectSeedSettings, grow_mask, mass_rule
from leopart_mm.models.fitting.requests import Requests
from tests.golden.cases import golden_case
from tests.models.backbones.builders import vit_of
from tests.paths import REPO


@golden_case('maskdistill', 'mass_rule')
def check_mass_rule(arrays):
    for name in [key for key in arrays if '_kept_' in key]:
        case, _, share = name.split('_')
        found = mass_rule(torch.from_numpy(arrays[f'{case}_scores']), int(share) / 100)
        np.testing.assert_array_equal(found.numpy(), arrays[name], err_msg=name)


@golden_case('maskdistill', 'mask_growing')
def check_mask_growing(arrays):
    names = [key.removesuffix('_fully_determined') for key in arrays if key.endswith('_fully_determined')]
    determined = [name for name in names if arrays[f'{name}_fully_determined']]
    assert len(determined) >= 3
    for name in names:
        case = {key.removeprefix(f'{name}_'): value for key, value in arrays.items() if key.startswith(f'{name}_')}
        for compat in (True, False):
            settings = ObjectSeedSettings(int(case['num_heads_used']), float(case['topk']), compat=compat)
            found = grow_mask(torch.from_numpy(case['queries']), torch.from_numpy(case['keys']), int(case['cols']),
                              settings)
            np.testing.assert_allclose(found.scores.numpy(), case['scores'], rtol=1e-5, atol=1e-5, err_msg=name)
            if name not in determined:
                if not compat:
                    continue  # what is published depends on the order of ties
                given = torch.from_numpy(case['kept']).nonzero()[:, 0], torch.from_numpy(case['proposed'])
                with mock.patch.object(object_seed, 'propose_patches', return_value=given):
                    found = grow_mask(torch.from_numpy(case['queries']), torch.from_numpy(case['keys']),
                                      int(case['cols']), settings)
            for key in ('kept', 'proposed', 'source_nodes', 'mask'):
                np.testing.assert_array_equal(getattr(found, key).numpy(), case[key], err_msg=f'{name} {key}')
            assert found.seed == (case['seed'] if len(case['source_nodes']) else None)
            for key in ('seed_affinity', 'diffused'):
                expected = case[key]
                np.testing.assert_allclose(getattr(found, key).numpy(), expected, rtol=0,
                                           atol=1e-4 * np.abs(expected).max(), err_msg=f'{name} {key}')


@golden_case('maskdistill', 'mask_to_annotation')
def check_mask_to_annotation(arrays):
    names = [key.removesuffix('_patch_mask') for key in arrays if key.endswith('_patch_mask')]
    assert names
    for name in names:
        case = {key.removeprefix(f'{name}_'): value for key, value in arrays.items() if key.startswith(f'{name}_')}
        resized, size = tuple(case['resized_hw']), tuple(case['image_hw'])
        mask = resize_patch_mask(case['patch_mask'], int(case['patch']), resized, size)
        np.testing.assert_array_equal(mask, case['final'].astype(bool), err_msg=name)
        if size != resized:
            right = resize_patch_mask(case['patch_mask'], int(case['patch']), resized, size, threshold=127)
            np.testing.assert_array_equal(right, case['pil_grey'] > 127, err_msg=name)
        entry = object_annotation(mask)
        assert (entry is not None) == bool(case['final'].any()), name
        if entry is None:
            continue
        assert entry['segmentation'] == dict(size=list(size), counts=case['rle_counts'].tobytes().decode()), name
        assert (entry['area'], entry['bbox']) == (case['area'], case['bbox'].tolist())
        entry = object_annotation(mask, shape='polygons')
        assert (entry is not None) == bool(case['kept'])
        if entry is None:
            continue
        polygons = entry['segmentation']
        assert [len(polygon) for polygon in polygons] == case['polygon_lengths'].tolist()
        np.testing.assert_allclose(np.concatenate(polygons), case['polygons'], rtol=0, atol=1e-6, err_msg=name)
        decoded = mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(polygons, *map(int, size))))
        np.testing.assert_array_equal(decoded, case['polygon_mask'], err_msg=name)


@golden_case('maskdistill', 'mask_pipeline')
@torch.no_grad()
def check_mask_pipeline(arrays):
    """From pixels to annotations, by the published config with the small network of the case."""
    config = load_config(REPO / 'configs/maskdistill/masks_dino-vits16_voc.py', dict(checkpoint=None))
    network = ProposalNetwork.from_config(config)
    weights = {name[2:]: torch.as_tensor(value) for name, value in arrays.items() if name.startswith('w/')}
    network.backbone = vit_of(weights, int(arrays['num_heads']))
    options = {key: value for key, value in config.proposals.items() if key != 'type'}
    options |= dict(heads=int(arrays['heads']), topk=float(arrays['topk']))
    names = [name.removesuffix('_image') for name in arrays if name.endswith('_image')]
    assert names
    for name in names:
        case = {key.removeprefix(f'{name}_'): value for key, value in arrays.items() if key.startswith(f'{name}_')}
        pixels = np.ascontiguousarray(case['image'][..., ::-1])  # BGR, as images are read
        resized = ResizeShorterSide(int(arrays['resize'])).transform(dict(img=pixels))['img']
        assert resized.shape[:2] == tuple(case['resized_hw'])
        packed = torch.from_numpy(resized).permute(2, 0, 1)
        source = ObjectSeedProposals(**options)
        inputs = network([name], [packed], Requests(**source.requests))
        assert tuple(side * network.backbone.patch_size for side in inputs.grid) == tuple(case['padded_hw'])
        grown = grow_mask(inputs.class_q[0], inputs.token_k[0], inputs.grid[1], source.seed)
        np.testing.assert_allclose(grown.scores, case['scores'], rtol=0, atol=1e-4, err_msg=name)
        assert grown.seed == case['seed']
        np.testing.assert_array_equal(grown.mask, case['patch_mask'], err_msg=name)
        image = network.image(name, packed, pixels.shape[:2])
        found, = source(inputs, [image])
        entry, = found.annotations
        np.testing.assert_array_equal(next(found.masks()), case['final'].astype(bool), err_msg=name)
        assert entry['segmentation']['counts'].encode() == case['rle_counts'].tobytes(), name
        assert (entry['area'], entry['bbox']) == (case['area'], case['bbox'].tolist())
        found, = ObjectSeedProposals(**options, shape='polygons')(inputs, [image])
        polygons = found.annotations[0]['segmentation']
        assert [len(polygon) for polygon in polygons] == case['polygon_lengths'].tolist()
        np.testing.assert_allclose(np.concatenate(polygons), case['polygons'], rtol=0, atol=1e-6, err_msg=name)
