from benchmarks.base import get_benchmark
from benchmarks.runner import measure


def test_both_ways_give_the_same_label_maps():
    cls = get_benchmark('retrieval')
    ours, baseline = (measure(cls, side, quick=True)['result'] for side in ('ours', 'baseline'))
    assert ours['maps'].shape == (4, 392, 392)
    assert cls().same(ours, baseline)
    assert not cls().same(dict(ours, miou=ours['miou'] + 1), baseline)
    baseline['maps'][0] += 1
    assert not cls().same(ours, baseline)
