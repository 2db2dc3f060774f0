"""Golden files whose projection head is a single Linear: `projection_head.weight` and `.bias`, without a number."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.golden.checks_leopart_training import our_name
from tests.golden.checks_neco_training import check_vit_forward, tiny_neco
from tests.models.backbones.builders import flat_patches, vit_and_head
from tests.paths import OWN_GOLDEN_ROOT


def single_layer(name):
    """The arrays of a recorded forward pass under a head of one random layer."""
    with np.load(OWN_GOLDEN_ROOT / 'neco' / f'{name}.npz') as file:
        arrays = dict(file)
    weights = {key[2:]: torch.from_numpy(value) for key, value in arrays.items() if key.startswith('w/')}
    vit, _ = vit_and_head(weights, num_heads=arrays['last_cls_attention'].shape[1])
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(6, vit.embed_dims, generator=generator), torch.randn(6, generator=generator)
    rows = []
    with torch.no_grad():
        for crops in (arrays['global_crops'], arrays['local_crops']):
            tokens = flat_patches(vit(torch.from_numpy(crops).flatten(0, 1))[0])
            rows.append(F.normalize(F.linear(tokens, weight, bias), dim=-1).flatten(0, 1))
    kept = {key: value for key, value in arrays.items() if not key.startswith('w/projection_head')}
    return {**kept, 'w/projection_head.weight': weight.numpy(), 'w/projection_head.bias': bias.numpy(),
            'projected': torch.cat(rows).numpy()}


@pytest.mark.parametrize('name', ['vit_v1_forward', 'vit_v2_forward', 'vit_v2_registers_forward'])
def test_a_forward_pass(name):
    arrays = single_layer(name)
    check_vit_forward(arrays)
    with pytest.raises(AssertionError):
        check_vit_forward({**arrays, 'w/projection_head.bias': arrays['w/projection_head.bias'] + 1})


def test_a_training_model_has_the_parameters_of_the_file():
    weights = {key[2:]: torch.from_numpy(value) for key, value in single_layer('vit_v2_registers_forward').items()
               if key.startswith('w/')}
    model = tiny_neco(weights, kernel=3, network='bitonic', num_heads=2, trainable_blocks=None)
    for part in ('weight', 'bias'):
        assert our_name(f'projection_head.{part}') == f'neck.mlp.0.{part}'
        assert model.get_parameter(f'neck.mlp.0.{part}').shape == weights[f'projection_head.{part}'].shape
    assert len(list(model.neck.parameters())) == 2
