import time

import pytest
import torch

from benchmarks.base import Benchmark, Measurement, Option, Settings, checked, get_benchmark
from benchmarks.device import clock_of
from benchmarks.report import as_text
from benchmarks.runner import measure
from benchmarks.scaling import fitted_line, report, timed_work
from benchmarks.textures import write_jpegs
from benchmarks.training import TimedBatches
from leopart_mm.cli.arguments import TypedText
from tests.distributed import run_distributed

MACHINE = dict(device='a card', type='cuda', threads=2, torch='2.x', cuda=None)
TOTAL = dict(seconds=61.4, processor_seconds=50.2)


class Chosen(Measurement):
    options = dict(batch=Option(4, ''), rate=Option(1., ''), method=Option('a', '', ('a', 'b')))


def test_options_have_the_type_of_their_default():
    found = checked('x', Chosen, Settings(options=dict(batch=TypedText('8'), rate=2, method=TypedText('b')))).options
    assert found == dict(batch=8, rate=2., method='b')
    assert isinstance(found['rate'], float)
    assert Chosen.prepared(Settings(options=dict(batch=8))).chosen == dict(batch=8, rate=1., method='a')
    for wrong, match in ((dict(size=1), 'no option .size.; it has: batch, rate, method'),
                         (dict(batch=TypedText('many')), 'batch=many: .x. takes int'),
                         (dict(method=TypedText('c')), 'takes a, b')):
        with pytest.raises(ValueError, match=match):
            checked('x', Chosen, Settings(options=wrong))


def test_a_benchmark_without_a_path_on_the_device_says_so():
    with pytest.raises(ValueError, match=r"'ap' .* no path on cuda: leave --device out"):
        checked('ap', get_benchmark('ap'), Settings(device='cuda'))


class Slow(Benchmark):
    warm_up = False

    def setup(self, quick):
        self.calls = 0

    def ours(self):
        self.calls += 1
        return self.calls, self.device, self.full

    def baseline(self):
        self.calls += 1
        return self.calls


def test_a_long_call_is_neither_warmed_up_nor_repeated(monkeypatch):
    found = measure(Slow, 'ours', full=True)
    assert found['result'] == (3, 'cpu', True)
    assert len(found['seconds']) == 3
    assert found['peak_device_mb'] is None
    monkeypatch.setattr('benchmarks.runner.LONG', 0.)
    assert measure(Slow, 'baseline')['result'] == 1
    monkeypatch.setattr('benchmarks.runner.IMPORTED', -1)  # as if the call had imported packages
    assert measure(Slow, 'baseline')['result'] == 3


class Threads(Benchmark):
    threads = 1

    def ours(self):
        return torch.get_num_threads(), clock_of('cpu')


def test_threads_that_are_asked_for_win_over_those_of_the_benchmark():
    before = torch.get_num_threads()
    try:
        assert measure(Threads, 'ours')['result'] == (1, time.process_time)
        assert measure(Threads, 'ours', threads=2)['result'] == (2, time.perf_counter)
    finally:
        torch.set_num_threads(before)
    with pytest.raises(ValueError, match='--threads 0: at least one'):
        checked('x', Chosen, Settings(threads=0))


def test_the_text_of_a_comparison():
    side = dict(seconds=2., peak_mb=10., peak_device_mb=30.)
    result = dict(name='x', size='default', machine=MACHINE, total=TOTAL, ours=side, baseline=dict(side, seconds=5.),
                  speedup=2.5, memory_ratio=1., same_result=False, compared='all', rounds=3, details=['more'])
    lines = as_text(result).splitlines()
    assert ['seconds', '2', '5', '2.50x faster'] in [[cell.strip() for cell in line.strip('|').split('|')]
                                                     for line in lines]
    assert any('peak MB of the device' in line and '1.00x the memory' in line for line in lines)
    assert lines[-3:-1] == ['same result: NO (all)', 'more']
    assert lines[-1] == 'default size on a card, 2 threads, torch 2.x; 3 rounds; 61 s in all, 50 s of processor time'


def test_times_of_batches(monkeypatch):
    times = [0., 1., 10., 12., 20., 23., 30., 34., 40., 45.]  # asked, came, asked, came, ...
    wall, own = iter(times), iter(2 * value for value in times)
    monkeypatch.setattr('benchmarks.training.time.perf_counter', lambda: next(wall))
    batches = TimedBatches(iter('abcde'), 'cpu', 1, 2, 0, lambda: next(own))
    assert ''.join(next(batches) for _ in range(5)) == 'abcde'
    assert batches.whole() == 10.  # from the second to the fourth request
    assert batches.apart() == (15., 2.5)  # 8 and 7 s, twice by the clock of steps; 2 and 3 s
    batches.split = 1  # the fourth batch, with waiting for the device: came at 34, the next was asked for at 40
    assert batches.apart() == (12., 4.)


def test_training_is_timed_and_counted():
    found = measure(get_benchmark('train-throughput'), 'measure', quick=True, options=dict(method='paka'))['result']
    figures = found.figures
    assert found.tables[0].title == 'train-throughput: paka, vit_small_patch16_224, batch 2, float32'
    assert figures['images_per_second'] > 0
    assert figures['step_images_per_second'] == pytest.approx(2 / figures['step_seconds'])
    assert figures['step_mfu'] == pytest.approx(
        figures['gflop_per_image'] * figures['step_images_per_second'] / 1000 / figures['gemm_tflops'])
    assert 0 < figures['step_mfu'] < 1
    assert figures['mfu'] == pytest.approx(
        figures['gflop_per_image'] * figures['images_per_second'] / 1000 / figures['gemm_tflops'])


def test_a_line_through_points():
    slope, intercept = fitted_line([(0, 1.), (2, 1.), (4, 4.)])  # slope (-2 * -1 + 2 * 2) / 8, mean 2 at 2
    assert (slope, intercept) == pytest.approx((.75, .5))


def test_the_table_of_scaling():
    found = report({('fit', 1): [(10, 3.), (20, 5.)], ('fit', 2): [(10, 2.), (20, 3.)]}, [])
    assert found.tables[0].rows[1] == ['fit', 1, 20, 5.]
    assert found.tables[1].rows == [['fit', 1, pytest.approx(200.), pytest.approx(1.), pytest.approx(5.), '1.00x'],
                                    ['fit', 2, pytest.approx(100.), pytest.approx(1.), pytest.approx(10.), '2.00x']]
    assert found.figures['fit_2_images_per_second'] == pytest.approx(10.)


@pytest.mark.slow
def test_two_processes_train_and_fit_together(tmp_path):
    write_jpegs(tmp_path / 'images', 4)
    work = dict(folder=str(tmp_path), device='cpu', quick=True, workers=0, arch='vit_tiny_patch16_224',
                steps=2, batch=2, images=(8, 16), clusters=8, channels=16)
    for found in run_distributed(timed_work, 2, 2, work):
        assert [images for images, _ in found['training']] == [4, 8]
        assert [images for images, _ in found['fit']] == [8, 16]
        seconds = [seconds for _, seconds in found['training']]
        assert 0 < seconds[0] < seconds[1]
