"""A kill at any moment leaves a whole checkpoint and a pointer to it."""

from pathlib import Path

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader

import leopart_mm  # noqa: F401
from leopart_mm.files import temporary_path
from leopart_mm.folder_lock import LOCK, FolderInUseError
from tests.test_files import full_disk
from tests.test_folder_lock import held_by_another_process


class Line(BaseModel):

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3))

    def forward(self, inputs, mode):
        if mode == 'loss':
            return {'loss': (inputs @ self.weight - 1).square().mean()}
        return [inputs]


class Counter(BaseMetric):
    """A score that rises, then falls."""
    scores = (1., 3., 2., 2.5)
    calls = 0

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        type(self).calls += 1
        return {'score': self.scores[type(self).calls - 1]}


def make_runner(work_dir, iterations=4, resume=False, val=False, **hook):
    loader = DataLoader([{'inputs': torch.ones(3)}] * 4, batch_size=2)
    Counter.calls = 0
    return Runner(
        model=Line(), work_dir=str(work_dir), train_dataloader=loader,
        train_cfg=dict(by_epoch=False, max_iters=iterations, val_interval=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), resume=resume,
        val_dataloader=loader if val else None, val_cfg=dict() if val else None,
        val_evaluator=Evaluator([Counter()]) if val else None,
        default_hooks=dict(checkpoint=dict(type='leopart_mm.AtomicCheckpointHook', by_epoch=False, interval=1, **hook)),
        experiment_name=f'atomic_{Path(work_dir).name}_{iterations}_{resume}', log_level='ERROR')


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir() if path.is_file() and path.suffix != '.py'
                  and path.name != LOCK)


def test_keeps_the_newest_and_points_to_it(tmp_path):
    make_runner(tmp_path, max_keep_ckpts=2).train()
    assert names(tmp_path) == ['iter_3.pth', 'iter_4.pth', 'last_checkpoint']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_4.pth')


@pytest.mark.parametrize('moment', ['writing', 'renaming'])
def test_a_stop_while_saving_leaves_the_old_one_whole(tmp_path, monkeypatch, moment):
    make_runner(tmp_path, iterations=2, max_keep_ckpts=1).train()

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    def write_half(self, content, path):
        Path(path).write_bytes(content[:100])
        raise KeyboardInterrupt

    if moment == 'writing':
        monkeypatch.setattr(LocalBackend, 'put', write_half)
    else:
        monkeypatch.setattr('leopart_mm.files.os.replace', stop)
    with pytest.raises(KeyboardInterrupt):
        make_runner(tmp_path, iterations=3, resume=True, max_keep_ckpts=1).train()
    monkeypatch.undo()
    assert names(tmp_path) == ['iter_2.pth', 'last_checkpoint']
    assert torch.load(tmp_path / 'iter_2.pth', weights_only=True)['meta']['iter'] == 2

    temporary_path(tmp_path / 'iter_3.pth').write_bytes(b'half')  # a killed process cannot tidy up
    make_runner(tmp_path, iterations=4, resume=True, max_keep_ckpts=1).train()
    assert names(tmp_path) == ['iter_4.pth', 'last_checkpoint']


def test_a_full_disk_is_named_and_leaves_the_old_one(tmp_path):
    make_runner(tmp_path, iterations=2, max_keep_ckpts=1).train()
    runner = make_runner(tmp_path, iterations=3, resume=True, max_keep_ckpts=1)
    with full_disk(500), pytest.raises(OSError, match=r'iter_3\.pth cannot be written: File too large'):
        runner.train()
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_2.pth')
    assert (tmp_path / 'iter_2.pth').is_file()


def test_equals_uninterrupted(tmp_path):
    make_runner(tmp_path / 'whole').train()
    make_runner(tmp_path / 'parts', iterations=2).train()
    make_runner(tmp_path / 'parts', resume=True).train()
    whole, parts = (torch.load(tmp_path / name / 'iter_4.pth', weights_only=True) for name in ('whole', 'parts'))
    assert torch.equal(whole['state_dict']['weight'], parts['state_dict']['weight'])
    assert torch.any(whole['state_dict']['weight'] != 0)


def test_best_file_is_replaced_only_by_a_better_one(tmp_path):
    make_runner(tmp_path, val=True, max_keep_ckpts=1, save_best='score', rule='greater').train()
    assert names(tmp_path) == ['best_score_iter_2.pth', 'iter_4.pth', 'last_checkpoint']


def test_resume_never_continues_an_earlier_run_of_the_folder(tmp_path, caplog):
    """A run, then another from the beginning that is stopped before its first checkpoint."""
    make_runner(tmp_path, iterations=2).train()
    killed = make_runner(tmp_path, iterations=4)
    killed.register_hook(Stop(), priority='HIGHEST')
    said = []
    killed.logger.warning = said.append
    with pytest.raises(KeyboardInterrupt):
        killed.train()
    assert 'holds checkpoints of an earlier run' in said[0]
    assert said[0].endswith(f'--resume {tmp_path / "iter_2.pth"}')
    again = make_runner(tmp_path, iterations=4, resume=True)
    again.load_or_resume()
    assert again.iter == 0
    make_runner(tmp_path, iterations=2, resume=True).train()
    resumed = make_runner(tmp_path, iterations=4, resume=True)
    resumed.train()
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_4.pth')


class Stop(Hook):

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        raise KeyboardInterrupt


def test_a_second_training_in_the_folder_is_refused(tmp_path):
    runner = make_runner(tmp_path)
    with held_by_another_process(tmp_path / LOCK), pytest.raises(FolderInUseError, match='in use by another run'):
        runner.train()
    assert names(tmp_path) == []
