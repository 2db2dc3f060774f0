"""`--resume` with another config: schedules follow the config as it is now, and what is not exact is said."""

import shutil

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import CosineAnnealingLR, LinearLR, PolyLR

from leopart_mm.engine import resuming
from leopart_mm.engine.console_runner import ConsoleRunner
from tests.engine.test_resume import run_config


class Values(Hook):
    """Notes what each step is done with."""

    def __init__(self) -> None:
        self.seen = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        group = runner.optim_wrapper.optimizer.param_groups[0]
        teacher = next(hook for hook in runner.hooks if type(hook).__name__ == 'SelfSupStepHook')
        base = runner.optim_wrapper.base_param_settings
        self.seen[runner.iter] = (group['lr'], group['weight_decay'], base['lr'], teacher.momentum)


def train(folder, resume=False, by_epoch=False, change=None, **kwargs):
    """Values per step, and the warnings, of a run."""
    config = run_config(folder, by_epoch, save_every=1, resume=resume, **kwargs)
    for key, value in (change or {}).items():
        config.merge_from_dict({key: value})
    config.experiment_name += str(torch.rand(1).item())
    runner = ConsoleRunner.from_cfg(config)
    values, said = Values(), []
    runner.register_hook(values, 'VERY_LOW')
    warn = runner.logger.warning
    runner.logger.warning = lambda text, *rest: (said.append(str(text)), warn(text, *rest))
    runner.train()
    return values.seen, ' '.join(said)


@pytest.mark.parametrize('by_epoch', [True, False], ids=['epochs', 'iterations'])
def test_more_steps_stretch_all_schedules(tmp_path, by_epoch):
    expected, said = train(tmp_path / 'whole', by_epoch=by_epoch, epochs=4)
    assert 'nothing is left' not in said
    train(tmp_path / 'run', by_epoch=by_epoch, epochs=2)
    found, said = train(tmp_path / 'run', by_epoch=by_epoch, resume=True, epochs=4)
    assert sorted(found) == list(range(6, 12))
    for step, values in found.items():
        assert values == pytest.approx(expected[step], rel=1e-9), step  # not the old end: 0, 0.4, 1
    assert found[6][0] > 1e-3
    assert 'CosineAnnealingLR.T_max 6 -> 12' in said
    assert 'as if the whole run had this config' in said


def test_an_unchanged_config_changes_nothing(tmp_path):
    expected, _ = train(tmp_path, epochs=2)
    found, said = train(tmp_path, resume=True, epochs=2, change=dict(load_from=str(tmp_path / 'iter_4.pth')))
    assert found == {step: expected[step] for step in (4, 5)}
    assert 'The config is not that' not in said
    assert 'was written with' not in said


def test_another_learning_rate_is_taken_and_said(tmp_path):
    train(tmp_path, epochs=2, change={'train_cfg.max_iters': 3})
    found, said = train(tmp_path, resume=True, epochs=2, change={'optim_wrapper.optimizer.weight_decay': 0.1,
                                                                 'optim_wrapper.optimizer.lr': 2e-2})
    assert found[3][0] == pytest.approx(2e-2 / 2)  # half a cosine
    assert 'lr of optimiser group backbone_decay 0.01 -> 0.02' in said
    assert 'weight_decay of optimiser group backbone_decay 0.04 -> 0.1' in said


def test_nothing_left_is_said(tmp_path):
    train(tmp_path, epochs=2)
    seen, said = train(tmp_path, resume=True, epochs=2)
    assert not seen
    assert 'has done 6 iterations, just what the config asks for: nothing is left to train' in said
    seen, said = train(tmp_path, resume=True, epochs=1)
    assert not seen
    assert 'has done 6 iterations, more than the 3 that the config asks for' in said


def test_schedules_shorter_than_training_are_said(tmp_path):
    _, said = train(tmp_path, epochs=1, change={'train_cfg.max_iters': 5})
    assert 'The schedule of lr ends after 3 of 5 iterations' in said
    assert 'The schedule of weight_decay ends after 3 of 5 iterations' in said
    _, said = train(tmp_path / 'b', epochs=1)
    assert 'The schedule of' not in said


def test_another_batch_is_said_and_epochs_keep_their_place(tmp_path):
    train(tmp_path, by_epoch=True, epochs=2, change={'train_cfg.max_epochs': 1})  # 3 steps of 2 images
    found, said = train(tmp_path, by_epoch=True, resume=True, epochs=2, batch=1)
    assert sorted(found) == list(range(6, 12))
    assert 'An epoch has 6 steps, it had 3: step 3 counts as 6' in said
    assert 'was written with 2 images on each of 1 processes, this run has 1 images on each of 1' in said
    assert found[6][0] == pytest.approx(0.5e-2)  # the middle of the cosine


def test_processes_count_as_the_batch_does():
    before = dict(batch_size=4, processes=1, epoch_length=0)
    assert resuming.batch_changes(before, dict(before)) is None
    assert resuming.batch_changes(None, before) is None  # written before it was noted
    assert '1 times as many' in resuming.batch_changes(before, dict(before, batch_size=2, processes=2))
    assert '2 times as many' in resuming.batch_changes(before, dict(before, processes=2))


def test_chained_schedules_are_replayed():
    """Warm-up, then a decay: as if the run had been longer from the beginning."""
    def build(total):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1., weight_decay=0.1)
        return optimizer, [LinearLR(optimizer, start_factor=0.1, end=3, by_epoch=False),
                           PolyLR(optimizer, power=1., begin=3, end=total, by_epoch=False)]

    def advance(optimizer, schedulers, steps):
        for _ in range(steps):
            optimizer.step()
            for scheduler in schedulers:
                scheduler.step()
        return optimizer.param_groups[0]['lr']

    optimizer, schedulers = build(8)
    advance(optimizer, schedulers, 6)
    saved = [scheduler.state_dict() for scheduler in schedulers], optimizer.state_dict()
    optimizer, schedulers = build(20)
    fresh = resuming.Schedules.of(schedulers, optimizer.param_groups)
    for scheduler, state in zip(schedulers, saved[0], strict=True):
        scheduler.load_state_dict(state)
    optimizer.load_state_dict(saved[1])
    assert fresh.follow(schedulers, optimizer.param_groups, 6) == ['PolyLR.end 8 -> 20', 'PolyLR.total_iters 4 -> 16']
    assert optimizer.param_groups[0]['lr'] == pytest.approx(advance(*build(20), 6))
    assert advance(optimizer, schedulers, 5) == pytest.approx(advance(*build(20), 11))
    assert not fresh.follow(schedulers, optimizer.param_groups, 6)


def test_a_cosine_without_end_is_named():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.)
    schedule = CosineAnnealingLR(optimizer, T_max=50, by_epoch=True)
    assert 'ends after 50 of 60 epochs' in resuming.early_ends([schedule], 600, 60)[0]
    assert not resuming.early_ends([schedule], 500, 50)
    assert not resuming.early_ends([LinearLR(optimizer, start_factor=0.1, by_epoch=False)], 9, 1)


@pytest.mark.parametrize(('content', 'words'), [
    (dict(state_dict={'decode_head.fitted': torch.tensor(True)}, meta={}), 'a fitted model'),
    (dict(state_dict={}, meta=dict(iter=1, epoch=0)), 'without its optimiser'),
    ({'blocks.0.weight': torch.zeros(1)}, 'weights alone'),
])
def test_other_files_are_not_resumed(tmp_path, content, words):
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(resuming.NotResumableError, match=words) as error:
        train(tmp_path, change=dict(load_from=str(tmp_path / 'x.pth')), resume=True)
    assert 'iter_1000.pth' in str(error.value)
    assert f'checkpoint={tmp_path / "x.pth"}' in str(error.value)


def test_a_copied_folder_resumes_from_itself(tmp_path):
    """Not from the folder that it was copied from, which has gone on since."""
    train(tmp_path / 'run', epochs=2)
    shutil.copytree(tmp_path / 'run', tmp_path / 'copy')
    train(tmp_path / 'run', resume=True, epochs=3)
    for gone in (tmp_path / 'run').glob('iter_6.pth'):
        gone.write_bytes(b'another run')
    found, _ = train(tmp_path / 'copy', resume=True, epochs=3)
    assert sorted(found) == [6, 7, 8]


def test_a_run_that_trained_other_tensors_is_refused_in_words():
    groups = [dict(params=[0, 1, 2]), dict(params=[3])]
    checkpoint = dict(optimizer=dict(param_groups=groups))
    resuming.check_trained(checkpoint, [dict(params='abc'), dict(params='d')], 'x.pth')
    for other in ([dict(params='ab'), dict(params='cd')], [dict(params='abcd')]):
        with pytest.raises(resuming.NotResumableError, match=r'its run trained 4 tensors in 2 groups, .* trains 4 in'):
            resuming.check_trained(checkpoint, other, 'x.pth')
