"""The recorded forward passes of NeCo: plain ViT, DINOv2, DINOv2 with registers."""

import numpy as np
import pytest
import torch

from leopart_mm.models.backbones.position import resize_positions
from tests.models.backbones.builders import all_tokens, flat_patches, vit_and_head
from tests.paths import GOLDEN_ROOT

ATOL = 2e-5


@pytest.mark.parametrize('case', ['vit_v1_forward', 'vit_v2_forward', 'vit_v2_registers_forward'])
@torch.no_grad()
def test_recorded_forward(case):
    path = GOLDEN_ROOT / 'neco' / f'{case}.npz'
    if not path.exists():
        pytest.skip(f'no {path}')
    with np.load(path, allow_pickle=False) as arrays:
        data = {name: torch.as_tensor(arrays[name]) for name in arrays}
    weights = {name[2:]: value for name, value in data.items() if name.startswith('w/')}
    vit, head = vit_and_head(weights, num_heads=data['last_cls_attention'].shape[1])

    projected = []
    for crops in (data['global_crops'], data['local_crops']):
        features = vit.forward_dense(crops.flatten(0, 1), cls_attention=True)
        projected.append(head(flat_patches(features.maps[0])).flatten(0, 1))
        if crops is data['global_crops']:
            registers = vit.num_prefix_tokens - 1
            close(features.cls_attention, data['last_cls_attention'][..., registers:])
    close(torch.cat(projected), data['projected'])
    close(all_tokens(vit, data['global_crops'][0]), data['backbone_global0'])
    close(all_tokens(vit, data['local_crops'][0]), data['backbone_local0'])


@pytest.mark.parametrize('case', ['vit_v1_forward', 'vit_v2_forward', 'vit_v2_registers_forward'])
def test_recorded_positions(case):
    path = GOLDEN_ROOT / 'neco' / f'{case}.npz'
    if not path.exists():
        pytest.skip(f'no {path}')
    with np.load(path, allow_pickle=False) as arrays:
        data = {name: torch.as_tensor(arrays[name]) for name in arrays}
    stored = data['w/pos_embed'][:, 1:]
    side = round(stored.shape[1]**0.5)
    for name, recorded in data.items():
        if name.startswith('pos_embed_'):
            grid = int(name.removeprefix('pos_embed_')) // data['w/patch_embed.proj.weight'].shape[-1]
            close(resize_positions(stored, (side, side), (grid, grid)), recorded[:, 1:])


def close(ours, recorded):
    torch.testing.assert_close(ours, recorded, atol=ATOL, rtol=0)
