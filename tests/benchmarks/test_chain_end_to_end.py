from benchmarks.base import get_benchmark
from benchmarks.runner import measure
from leopart_mm.models.backbones import DenseViT


def test_one_pass_with_the_scores_of_computing_again(monkeypatch):
    monkeypatch.setattr(DenseViT, 'forward_dense', DenseViT.forward_dense)  # the benchmark counts its calls
    cls = get_benchmark('chain-end-to-end')
    ours, baseline = (measure(cls, side, quick=True)['result'] for side in ('ours', 'baseline'))
    assert (ours['passed'], baseline['passed']) == (16, 4 * 16 + 4)
    assert cls().same(ours, baseline)
    assert not cls().same(dict(ours, passed=17), baseline)
    assert not cls().same(dict(ours, metrics=dict(ours['metrics'], mIoU=0)), baseline)
    line, = measure(cls, 'details', quick=True)['result']
    assert 'bare pass of the network over the same 16 images' in line
