"""The benchmark of principal masks."""

from benchmarks.base import get_benchmark
from benchmarks.runner import measure


def test_primaps_compares_masks_and_log_probabilities():
    cls = get_benchmark('primaps')
    ours, baseline = (measure(cls, side, quick=True)['result'] for side in ('ours', 'baseline'))
    assert cls().same(ours, baseline)
    assert all(len(masks) > 1 for masks, _ in ours)
    masks = baseline[0][0].copy()
    masks[0, 0, 0] ^= True
    assert not cls().same(ours, [(masks, baseline[0][1]), *baseline[1:]])
    assert not cls().same(ours, [(baseline[0][0], baseline[0][1] + 1e-3), *baseline[1:]])
