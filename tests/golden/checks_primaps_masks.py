"""Golden checks of principal mask proposals: the loop, label maps of pixels, votes inside masks."""

import functools

import numpy as np
import torch

from leopart_mm.masks.crf import CRFSettings, crf_unary, dense_crf, to_bytes
from leopart_mm.masks.principal import PrincipalSettings, principal_masks
from leopart_mm.masks.principal_cleaning import apply_prior, clean_masks, mask_log_probs, proposal_labels
from leopart_mm.masks.votes import majority_per_mask
from tests.golden.cases import golden_case

FAULTS = ('single_mask', 'masked_anchor', 'stalled', 'all_erased')


def _cases(arrays):
    """Name -> its arrays as tensors, for every name with features."""
    names = sorted(name.removesuffix('_features') for name in arrays if name.endswith('_features'))
    assert names
    return {name: {key.removeprefix(f'{name}_'): torch.from_numpy(value) for key, value in arrays.items()
                   if key.startswith(f'{name}_')} for name in names}


def _settings(case, published):
    threshold = float(case['threshold'])
    return PrincipalSettings.published(threshold=threshold) if published else PrincipalSettings(threshold)


def _close(found, expected, tolerance, name):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance, err_msg=name)  # NaN equals NaN


@golden_case('primaps', 'proposals')
def check_proposals(arrays):
    for name, case in _cases(arrays).items():
        for published in (True, False):
            if not published and name in FAULTS:
                continue
            settings = _settings(case, published)
            found = principal_masks(case['features'][None], settings, [case['directions']])[0]
            assert len(found) == len(case['anchors']), name
            assert torch.equal(found.free, case['free']), name
            assert torch.equal(found.anchors, case['anchors']), name
            assert ((found.directions * case['directions']).sum(1) >= 1 - 1e-5).all(), name
            _close(found.direction_similarity, case['direction_similarity'], 3e-4, name)
            _close(found.soft_masks, case['soft_masks'], 1e-4, name)
            _close(clean_masks(found.soft_masks), case['filtered'], 0, name)
            _close(mask_log_probs(found.soft_masks, settings), case['log_probs'], 1e-6, name)


@golden_case('primaps', 'proposal_labels')
def check_proposal_labels(arrays):
    for name, case in _cases(arrays).items():
        settings, ignore = _settings(case, False), int(case['ignore'])
        image = to_bytes(case['image'], mode='truncate')
        masks = principal_masks(case['features'][None], settings, [case['directions']])[0]
        log_probs = mask_log_probs(masks.soft_masks, settings)
        _close(log_probs, case['log_probs'], 1e-6, name)
        _close(crf_unary(log_probs, image.shape[:2]), case['unary'], 1e-5, name)
        for backend, marginals, labels, tolerance in (('exact', 'exact_q', 'exact_labels', 1e-5),
                                                      ('lattice', 'lattice_q', 'labels', 1e-3)):
            crf = functools.partial(dense_crf, settings=CRFSettings(backend=backend))
            _close(crf(log_probs, image), case[marginals], tolerance, name)
            found = proposal_labels(log_probs, image, crf, ignore)
            assert (found != case[labels]).float().mean() <= 1e-3, (name, backend)
        assert torch.equal(apply_prior(case['labels'], case['prior'], ignore), case['prior_labels']), name


@golden_case('primaps', 'pseudo_labels')
def check_pseudo_labels(arrays):
    names = sorted(name.removesuffix('_classes') for name in arrays if name.endswith('_classes'))
    assert names
    for name in names:
        classes, masks = (torch.from_numpy(arrays[f'{name}_{key}']) for key in ('classes', 'proposals'))
        found = majority_per_mask(classes, masks, int(classes.max()) + 1)
        np.testing.assert_array_equal(found, arrays[f'{name}_labels'], err_msg=name)
