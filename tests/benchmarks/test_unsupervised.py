import numpy as np
import pytest

from benchmarks.base import get_benchmark
from benchmarks.runner import measure
from benchmarks.unsupervised import difference_bound


def test_the_bound_is_three_standard_errors():
    # variances 1 and 4 over 5 seeds each
    first, second = np.array([-1., -1, 0, 1, 1]), np.array([8., 8, 10, 12, 12])
    assert difference_bound(first, second) == pytest.approx(3 * np.sqrt(1 / 5 + 4 / 5))


def test_both_sides_run_every_seed():
    cls = get_benchmark('unsupervised-chain')
    ours, baseline = (measure(cls, side, quick=True)['result'] for side in ('ours', 'baseline'))
    assert ours['miou'].shape == baseline['miou'].shape == (5, )
    assert len(set(ours['miou'])) > 1  # the seeds differ
    assert ours['seconds'].keys() == {'clusters', 'CBFE', 'ForegroundClustering', 'CommunityDetection', 'scores'}
    assert ours['seconds'].keys() == baseline['seconds'].keys()
    same = dict(ours, miou=ours['miou'] + .1)
    bound = difference_bound(ours['miou'], same['miou'])
    assert cls().same(ours, same) == (bound >= .1)
    assert cls().same(ours, dict(ours, miou=ours['miou'] + .99 * bound))
    assert not cls().same(ours, dict(ours, miou=ours['miou'] + 1.01 * bound))
