"""Golden checks of the dense CRF of PriMaPs: bytes, unary, exact and lattice marginals."""

import numpy as np
import torch

from leopart_mm.masks.crf import CRFSettings, crf_unary, dense_crf, to_bytes, truncate_bytes
from leopart_mm.masks.crf_exact import exact_messages
from tests.golden.cases import golden_case


@golden_case('primaps', 'crf')
def check_crf(arrays):
    names = sorted({name.removesuffix('_log_probs') for name in arrays if name.endswith('_log_probs')})
    assert names
    for name in names:
        case = {key.removeprefix(f'{name}_'): torch.from_numpy(value) for key, value in arrays.items()
                if key.startswith(f'{name}_')}
        image = to_bytes(case['image'], mode='truncate')
        np.testing.assert_array_equal(image.flip(2), case['bytes_bgr'])
        np.testing.assert_allclose(crf_unary(case['log_probs'], image.shape[:2]), case['unary'], rtol=0, atol=1e-5)
        _check_kernels(case, image)
        for iterations in (1, 2, 10):
            for backend, tolerance in (('exact', 1e-5), ('lattice', 5e-4)):
                found = dense_crf(case['log_probs'], image, CRFSettings(iterations=iterations, backend=backend))
                expected = case[f'{backend}_q{iterations}']
                np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance, err_msg=f'{name} {backend}')
                assert (found.argmax(0) == expected.argmax(0)).float().mean() > 0.99  # but for ties


def _check_kernels(case, image):
    """Each normalised kernel by itself, as the difference that it makes to an update from a given input."""
    values = case['filter_in'].flatten(1).T.contiguous()
    for kept, name in (('smooth_weight', 'exact_gaussian'), ('appearance_weight', 'exact_bilateral')):
        settings = CRFSettings(**{'smooth_weight': 0., 'appearance_weight': 0., kept: 1.})
        total = torch.zeros_like(values)
        exact_messages(image, settings)(values, total)
        np.testing.assert_allclose(total.T.reshape(case[name].shape), case[name], rtol=0, atol=1e-5)


@golden_case('primaps', 'image_roundtrip')
def check_image_roundtrip(arrays):
    tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
    table = tensors['normalised'][:, :, None]
    np.testing.assert_array_equal(to_bytes(table, mode='truncate')[:, 0].T, arrays['byte_out'])
    np.testing.assert_array_equal(to_bytes(table)[:, 0].T, np.stack([arrays['byte_in']] * 3))
    np.testing.assert_array_equal(to_bytes(tensors['image_normalised'], mode='truncate'), arrays['image_out'])
    np.testing.assert_array_equal(truncate_bytes(tensors['image']), arrays['image_out'])
    np.testing.assert_array_equal(to_bytes(tensors['image_normalised']), arrays['image'])
