from benchmarks.base import get_benchmark
from benchmarks.runner import measure


def test_both_sides_give_the_same_labels():
    cls = get_benchmark('crf')
    ours, baseline = (measure(cls, side, quick=True)['result'] for side in ('ours', 'baseline'))
    assert ours['labels'].shape == (2, 32, 32)
    assert cls().same(ours, baseline)
    baseline['labels'][:, :8] += 1
    assert not cls().same(ours, baseline)
    lines = measure(cls, 'details', quick=True)['result']
    assert len(lines) == 5
    assert all('faster' in line for line in lines[2:])
