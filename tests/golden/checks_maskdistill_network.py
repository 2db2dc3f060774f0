"""Golden checks of MaskDistill's network and CRF."""

from dataclasses import replace

import numpy as np
import torch

from leopart_mm.masks.crf import CRFSettings, crf_unary, dense_crf
from tests.golden.cases import golden_case
from tests.models.backbones.builders import vit_of


@golden_case('maskdistill', 'vit_forward')
@torch.no_grad()
def check_vit_forward(arrays):
    data = {name: torch.as_tensor(value) for name, value in arrays.items()}
    vit = vit_of({name[2:]: value for name, value in data.items() if name.startswith('w/')}, int(data['heads']))
    assert vit.patch_size == int(data['patch'])
    names = [name.removesuffix('_image') for name in data if name.endswith('_image')]
    assert names
    for name in names:
        found = vit.forward_dense(data[f'{name}_image'], cls_attention=True, qkv_block=-1, class_query_block=-1)
        alone = vit.forward_dense(data[f'{name}_image'], (), class_query_block=-1)
        queries, keys = (data[f'{name}_{key}'] for key in ('queries', 'keys'))
        for ours, expected in ((found.class_q, queries[:, :, :1]), (found.q, queries[:, :, 1:]), (found.token_k, keys),
                               (found.k, keys[:, :, 1:]), (alone.class_q, queries[:, :, :1]), (alone.token_k, keys)):
            torch.testing.assert_close(ours, expected, atol=2e-5, rtol=0)
        torch.testing.assert_close(found.cls_attention, data[f'{name}_cls_attention'], atol=2e-5, rtol=0)
        torch.testing.assert_close(found.cls_token, data[f'{name}_cls_feature'], atol=2e-5, rtol=0)


@golden_case('maskdistill', 'dense_crf')
def check_dense_crf(arrays):
    names = [name.removesuffix('_logits') for name in arrays if name.endswith('_logits')]
    assert names
    settings = dict(smooth_weight='gauss_weight', smooth_xy='gauss_sigma', appearance_weight='bilateral_weight',
                    appearance_xy='bilateral_sigma_xy', appearance_rgb='bilateral_sigma_rgb', min_probability='clip')
    settings = {key: float(arrays[name]) for key, name in settings.items()}
    settings = CRFSettings(int(arrays['num_iterations']), **settings, backend='exact')
    for name in names:
        case = {key.removeprefix(f'{name}_'): torch.from_numpy(np.asarray(value)) for key, value in arrays.items()
                if key.startswith(f'{name}_')}
        unary = crf_unary(case['logits'], case['image'].shape[:2], settings)
        torch.testing.assert_close(unary, case['unary'], atol=1e-4, rtol=0)
        for iterations, key in ((1, 'q_exact_iter1'), (settings.iterations, 'q_exact')):
            found = dense_crf(case['logits'], case['image'], replace(settings, iterations=iterations))
            np.testing.assert_allclose(found, case[key], rtol=0, atol=1e-4, err_msg=f'{name} {key}')
        lattice = dense_crf(case['logits'], case['image'], replace(settings, backend='lattice'))
        assert (lattice - case['q_library']).abs().mean() <= 2e-3, name
        assert (lattice.argmax(0) == case['labels_library']).float().mean() >= 0.99, name
