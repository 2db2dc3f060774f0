"""A training that judges itself while it runs: it stops when it has become worse and keeps the best, or the start."""

import time

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config

from leopart_mm.datasets.sample import write_sample
from leopart_mm.engine.console_runner import ConsoleRunner
from leopart_mm.engine.hooks import VerdictHook
from leopart_mm.engine.hooks.verdict_hook import BEST, CHECKS, FIRST
from tests.distributed import run_distributed
from tests.engine.hooks.test_training_page_hook import KillAfter
from tests.engine.test_resume import Killed
from tests.tools.test_train_and_test import TRAIN

START = [.5 + .01 * number for number in range(16)]


class ScriptedVerdictHook(VerdictHook):
    """Its measurements are scripted: a shift of the start's values per measured step."""

    def __init__(self, shifts, **options):
        super().__init__(images=12, size=64, **options)
        self.shifts, self.asked = shifts, []

    def _measure(self, runner):
        step = len(self.asked) and runner.iter + 1
        self.asked.append(step)
        return dict(neighbour_overlap=[value + self.shifts.get(step, 0.) for value in START])


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('verdict')
    write_sample(folder, num_images=16, size=64)
    return folder


def config(data, folder, resume=False, launcher='none', batch_size=4, steps=6, save_every=1):
    cfg = Config.fromstring(TRAIN.replace("'nowhere'", repr(str(data))), '.py')
    cfg.work_dir, cfg.resume, cfg.launcher = str(folder), resume, launcher
    cfg.experiment_name = f'course_{time.time_ns()}'
    cfg.train_cfg.max_iters, cfg.param_scheduler[0].T_max, cfg.param_scheduler[0].end = steps, steps, steps
    cfg.train_dataloader.batch_size = batch_size
    cfg.default_hooks.checkpoint.interval = save_every
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='leopart_mm.TrainingPageHook')]
    if launcher != 'none':
        cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None)
    return cfg


def train(data, folder, hook, kill=None, **options):
    runner = ConsoleRunner.from_cfg(config(data, folder, **options))
    runner.register_hook(hook)
    if kill is not None:
        runner.register_hook(KillAfter(*kill))
    runner.train()
    return runner


def weights(file):
    content = torch.load(file, weights_only=False)
    return content['meta']['iter'], content['state_dict']


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_training_that_becomes_worse_stops_and_keeps_the_start(data, tmp_path):
    """Checks after steps 1, 2, 3 ...: better, worse, worse: it ends after step 3 of 6, and the first is not trusted."""
    shifts = {1: .1, 2: -.2, 3: -.2}
    hook = ScriptedVerdictHook(shifts, checks=6)
    runner = train(data, tmp_path, hook, save_every=100)
    assert runner.iter == 3
    assert hook.asked == [0, 1, 2, 3]  # the verdict at the end takes the last check's numbers
    step, kept = weights(tmp_path / BEST)
    assert step == 0
    assert same(kept, weights(tmp_path / FIRST)[1])
    start = ConsoleRunner.from_cfg(config(data, tmp_path / 'start')).model.state_dict()
    assert kept.keys() == start.keys()
    page, log = (tmp_path / 'training.html').read_text(), next(tmp_path.glob('*/*.log')).read_text()
    assert 'Ended early, after 3 of 6 iterations.' in page
    for words in ('Stopped early, after step 3 of 6: the last 2 checks called the features worse than before training.',
                  f'{tmp_path / BEST} holds the weights that training began from.'):
        assert words in page
        assert words in log
    assert '<td>the start</td>' in page
    assert 'After step 2 of 6 the features are, compared with the start: worse.' in log
    # The step at which it stopped is saved, so that nothing is trained twice; who wants may go on from there.
    assert weights(tmp_path / 'iter_3.pth')[0] == 3
    for patience, steps in ((2, 3), (None, 6)):
        again = train(data, tmp_path, ScriptedVerdictHook(shifts, checks=6, patience=patience), resume=True)
        assert again.iter == steps
    logs = ''.join(file.read_text() for file in tmp_path.glob('*/*.log'))  # runs of one second share one
    assert logs.count('--resume trains nothing, since the verdict stopped this training.') == 1


def test_the_clearest_better_checkpoint_is_kept(data, tmp_path):
    """Checks every second step; better after 2, clearer after 4, then back."""
    train(data, tmp_path, ScriptedVerdictHook({2: .1, 4: .2, 6: .1}, checks=3))
    step, kept = weights(tmp_path / BEST)
    assert step == 4
    assert same(kept, weights(tmp_path / 'iter_4.pth')[1])
    assert 'the weights after step 4 of 6, the clearest of 3 of 3 checks' in (tmp_path / 'training.html').read_text()


def test_a_resumed_run_equals_an_uninterrupted_one(data, tmp_path):
    shifts = {1: .2, 2: .1, 4: -.2, 5: -.2}
    whole = train(data, tmp_path / 'whole', ScriptedVerdictHook(shifts, checks=6))
    with pytest.raises(Killed):
        train(data, tmp_path / 'parts', ScriptedVerdictHook(shifts, checks=6), kill=(4, Killed()), save_every=3)
    hook = ScriptedVerdictHook(shifts, checks=6)
    hook.asked = [0]
    parts = train(data, tmp_path / 'parts', hook, resume=True, save_every=3)
    assert whole.iter == parts.iter == 5
    assert whole.message_hub.get_info(CHECKS) == parts.message_hub.get_info(CHECKS)
    assert whole.message_hub.get_info('verdict')['course'] == parts.message_hub.get_info('verdict')['course']
    assert same(weights(tmp_path / 'whole' / BEST)[1], weights(tmp_path / 'parts' / BEST)[1])
    assert hook.asked == [0, 4, 5]
    again = train(data, tmp_path / 'whole', ScriptedVerdictHook(shifts, checks=6), resume=True)
    assert again.iter == 5  # a run that was stopped does not go on


def test_without_patience_it_goes_on_and_without_checks_no_file_is_left(data, tmp_path):
    worse = dict.fromkeys(range(1, 7), -.2)
    runner = train(data, tmp_path / 'a', ScriptedVerdictHook(worse, checks=6, patience=None))
    assert runner.iter == 6
    assert 'Stopped early' not in (tmp_path / 'a/training.html').read_text()
    runner = train(data, tmp_path / 'b', ScriptedVerdictHook(worse))
    assert runner.iter == 6
    assert not (tmp_path / 'b' / BEST).exists()
    with pytest.raises(ValueError, match='patience=0 must be at least 1, or None'):
        VerdictHook(patience=0)


def test_checks_disturb_nothing_and_repeat(data, tmp_path):
    """The real measurements: the same weights as without the hook, the same checks again."""
    runs = [train(data, tmp_path / name, VerdictHook(images=12, size=64, checks=2, patience=None), steps=2)
            for name in 'ab']
    checks = [run.message_hub.get_info(CHECKS) for run in runs]
    assert checks[0] == checks[1]
    assert [one['step'] for one in checks[0]] == [1, 2]
    plain = ConsoleRunner.from_cfg(config(data, tmp_path / 'c', steps=2))
    plain.train()
    assert same(plain.model.state_dict(), runs[0].model.state_dict())


def on_two(data, folder):
    """A run of two processes with half the batch each."""
    hook = ScriptedVerdictHook({1: .2, 2: -.2, 3: -.2}, checks=6)
    runner = train(data, folder, hook, launcher='pytorch', batch_size=2)
    dist.barrier()
    return runner.iter, runner.message_hub.get_info(CHECKS), len(hook.asked)


@pytest.mark.slow
def test_two_processes_do_what_one_does(data, tmp_path):
    """Only the first measures; both stop at the same step."""
    one = train(data, tmp_path / 'one', ScriptedVerdictHook({1: .2, 2: -.2, 3: -.2}, checks=6))
    first, second = run_distributed(on_two, 2, data, tmp_path / 'two')
    assert sorted(file.name for file in (tmp_path / 'two').glob('b*.pth')) == [FIRST, BEST]
    assert first[:2] == second[:2] == (one.iter, one.message_hub.get_info(CHECKS)) == (3, first[1])
    assert (first[2], second[2]) == (4, 0)
    (step, two), (_, single) = weights(tmp_path / 'two' / BEST), weights(tmp_path / 'one' / BEST)
    assert step == 0  # it was better after step 1, and has become worse
    for name, value in single.items():
        torch.testing.assert_close(two[name], value, atol=1e-4, rtol=1e-3)
