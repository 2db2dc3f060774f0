import json
import subprocess
import sys
import time

import pytest
import torch

from benchmarks.base import Benchmark
from benchmarks.device_checks import Comparison, load_checks, relative_difference, unequal_share
from benchmarks.device_report import DeviceReport, page
from tests.no_sync import fake_cuda
from tests.paths import REPO

CPU = torch.device('cpu')
SIDE = dict(seconds=2., peak_mb=10.)
FOUND = dict(ours=SIDE, baseline=dict(SIDE, seconds=5.), speedup=2.5, memory_ratio=1., same_result=True, compared='',
             details=[], total=dict(seconds=1., processor_seconds=1.))


def soon():
    return time.monotonic() + 60


def test_a_difference_passes_up_to_its_bound_and_nan_does_not():
    assert Comparison('', 1., 1.).passed
    assert not Comparison('', 1.1, 1.).passed
    assert not Comparison('', float('nan'), 1.).passed


@pytest.mark.parametrize('name', ['k-means', 'PCA', 'CBFE', 'co-occurrence', 'retrieval', 'CRF', "PriMaPs' masks",
                                  'preprocessor', 'forward', 'training step'])
def test_checks_pass_on_the_cpu(name):
    rows = load_checks()[name](CPU)
    assert rows
    assert all(row.passed for row in rows), rows
    assert all(row.difference < 1e-12 for row in rows if 'bfloat16' not in row.quantity), rows


@pytest.mark.parametrize('name', ['k-means', 'PCA', 'CBFE', 'co-occurrence', 'retrieval', 'CRF', "PriMaPs' masks",
                                  'preprocessor'])
def test_checks_pass_on_a_gpu_of_which_only_the_name_is_true(name):
    with fake_cuda():
        rows = load_checks()[name](torch.device('cuda'))
    assert all(row.passed for row in rows), rows


@pytest.mark.parametrize('name', ['waits in a step', 'sizes together, compiled blocks'])
def test_checks_of_the_step_pass_on_the_cpu(name):
    rows = load_checks()[name](CPU)
    assert len(rows) >= 3
    assert all(row.passed for row in rows), rows


def test_a_step_on_other_weights_does_not_pass(monkeypatch):
    from benchmarks.device_checks import networks
    from leopart_mm.models.selfsup.crop_pair_model import CropPairModel
    deepcopy = networks.copy.deepcopy

    def other(value, *memo):
        twin = deepcopy(value, *memo)
        if isinstance(value, CropPairModel):
            with torch.no_grad():
                twin.neck.mlp[0].weight.mul_(1.1)
        return twin

    monkeypatch.setattr(networks, 'METHODS', dict(leopart=networks.METHODS['leopart']))
    monkeypatch.setattr(networks.copy, 'deepcopy', other)
    passed = {row.quantity.split(',')[0]: row.passed for row in networks.training_step(CPU)}
    assert not passed['leopart: gradients']


def test_what_is_done_is_kept_and_failures_are_tried_again(tmp_path):
    calls = []

    def good(device):
        calls.append('good')
        return [Comparison('x', 0., 1.)]

    def bad(device):
        calls.append('bad')
        raise RuntimeError('no such | kernel')

    report = DeviceReport(tmp_path / 'results.json', 'cpu')
    report.run_checks(dict(good=good, bad=bad, late=good), time.monotonic() - 1, calls.append)
    assert calls == []
    assert set(report.state['skipped']) == {'good', 'bad', 'late'}
    report.run_checks(dict(good=good, bad=bad), soon(), calls.append)
    again = DeviceReport(tmp_path / 'results.json', 'cpu')
    again.run_checks(dict(good=good, bad=bad), soon(), calls.append)
    assert calls == ['check: good', 'good', 'check: bad', 'bad', 'check: bad', 'bad']
    assert again.failures() == ['bad']
    text = page(again.state)
    assert '| good | x | 0 | 1 | yes |' in text
    assert '| bad | RuntimeError: no such / kernel |  |  | FAILED |' in text
    assert '| late | no time was left |' in text
    assert 'figures of GPUs are not measured yet' in text
    state = json.loads(report.file.read_text())
    report.file.write_text(json.dumps(dict(state, about=dict(state['about'], device='another card'))))
    with pytest.raises(ValueError, match=r'is about .*another card.*: give another --out'):
        DeviceReport(report.file, 'cpu')


def test_benchmarks_run_as_the_time_allows(tmp_path, monkeypatch):
    ran = []

    def run(name, quick, limit, device, brief):
        ran.append(name)
        if name == 'hangs':
            raise TimeoutError('it did not end within 3 s')
        return dict(FOUND, same_result=name != 'wrong')

    class Short(Benchmark):
        expected = 1.

    class Long(Benchmark):
        expected = 1000.

    class OnDevice(Benchmark):
        devices = ('cpu', 'cuda')
        expected = 2.

    class OnlyThere(Benchmark):
        devices = ('cuda', )

    monkeypatch.setattr('benchmarks.runner.run_benchmark', run)
    report = DeviceReport(tmp_path / 'results.json', 'cpu')
    known = dict(hangs=Short, long=Long, first=OnDevice, wrong=Short, there=OnlyThere)
    report.run_benchmarks(known, soon(), print)
    assert ran == ['first', 'hangs', 'wrong']  # what works on devices first, then by time
    assert report.state['skipped'].keys() == {'hangs', 'long', 'there'}
    assert report.state['skipped']['there'] == 'it has no path on cpu'
    assert report.failures() == ['wrong']
    text = page(report.state)
    assert '| first | 2 | 5 | 2.50 x | 1.00 |  | yes |' in text
    assert '| hangs | it did not end within 3 s |' in text
    assert '| long | it takes about 1000 s, and 60 s were left |' in text or 'and 59 s' in text


def test_measures():
    assert relative_difference(torch.tensor([3., 4.5]), torch.tensor([3., 4.])) == pytest.approx(.1)
    assert unequal_share(torch.tensor([1, 2, 3, 4]), torch.tensor([1, 2, 3, 5])) == .25


@pytest.mark.slow
def test_a_run_without_time_writes_the_page(tmp_path):
    command = [sys.executable, REPO / 'tools' / 'gpu_check.py', '--minutes', '0', '--device', 'cpu', '--out', tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '| train-throughput | it takes about' in (tmp_path / 'page.md').read_text()
    assert json.loads((tmp_path / 'results.json').read_text())['skipped']['forward'] == 'no time was left'
