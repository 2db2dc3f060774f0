import numpy as np

from benchmarks.base import get_benchmark
from benchmarks.runner import measure


def test_both_ways_give_the_same_masks():
    cls = get_benchmark('maskdistill-masks')
    ours, baseline = (measure(cls, side, quick=True)['result'] for side in ('ours', 'baseline'))
    assert [mask.shape for mask in ours] == [(10, 14)] * 2
    assert cls().same(ours, baseline)
    baseline[1][0, 0] ^= True
    assert not cls().same(ours, baseline)
    assert not cls().same([np.ones((10, 14), bool)], [np.ones((10, 14), bool)])  # no object
    lines = measure(cls, 'details', quick=True)['result']
    assert 'whole step of one image, 140 patches' in lines[1]
    assert lines[2].endswith('agree on 100.0% of the patches')
