import json
import subprocess
import sys

import pytest

from benchmarks.base import get_benchmark, load_benchmarks
from benchmarks.memory import PeakMemory
from benchmarks.runner import measure
from tests.paths import REPO


def test_peak_memory_counts_what_was_freed_again():
    memory = PeakMemory()
    if not memory.resettable:
        pytest.skip('the peak cannot be reset on this system')
    block = bytearray(64 << 20)
    del block
    assert 60 < memory.peak_mb() < 100


def test_names():
    known = load_benchmarks()
    assert 'multicrop' in known
    assert all((cls.__doc__ or '').strip() for cls in known.values())
    with pytest.raises(SystemExit, match='multicrop'):
        get_benchmark('no-such-thing')


@pytest.mark.slow
def test_command_writes_the_agreed_keys(tmp_path):
    out = tmp_path / 'multicrop.json'
    command = [sys.executable, REPO / 'tools' / 'benchmark.py', 'multicrop', '--quick', '--json', out]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert {'name', 'ours', 'baseline', 'speedup', 'memory_ratio', 'same_result'} <= set(result)
    assert set(result['ours']) == set(result['baseline']) == {'seconds', 'peak_mb'}
    assert result['speedup'] == pytest.approx(result['baseline']['seconds'] / result['ours']['seconds'])
    assert 'multicrop' in done.stdout


def test_multicrop_compares_geometry_and_pixels():
    cls = get_benchmark('multicrop')
    ours, baseline = (measure(cls, side, quick=True)['result'] for side in ('ours', 'baseline'))
    assert cls().same(ours, baseline)
    baseline['fixed']['gc_boxes'][0, 1, 0] += 1
    assert not cls().same(ours, baseline)


@pytest.mark.parametrize('name', ['neco-sort', 'neco-sort-9'])
def test_neco_sort_compares_loss_and_gradient(name):
    cls = get_benchmark(name)
    ours, baseline = (measure(cls, side, quick=True)['result'] for side in ('ours', 'baseline'))
    assert cls().same(ours, baseline)
    baseline['gradient'][0, 0] += 1
    assert not cls().same(ours, baseline)


@pytest.mark.parametrize('name', ['primaps-train', 'primaps-train-epoch'])
def test_primaps_train_compares_losses_and_gradient(name):
    cls = get_benchmark(name)
    ours, baseline = (measure(cls, side, quick=True)['result'] for side in ('ours', 'baseline'))
    assert cls().same(ours, baseline)
    assert not cls().same(ours, dict(baseline, losses=[loss + 1 for loss in baseline['losses']]))
    baseline['gradient'][0, 0] += 1
    assert not cls().same(ours, baseline)


def test_instance_ap_compares_both_modes():
    cls = get_benchmark('ap')
    ours, baseline = (measure(cls, side, quick=True)['result'] for side in ('ours', 'baseline'))
    assert cls().same(ours, baseline)
    baseline['single'][1] += 0.01
    assert not cls().same(ours, baseline)


def test_neco_sort_tells_what_is_kept():
    from benchmarks.neco_sort import NeCoSort49, _kept
    work = NeCoSort49()
    work.setup(quick=True)
    assert _kept(work.ours) == work.student.numel() * 4
    assert _kept(work.baseline) > 1000 * _kept(work.ours)
