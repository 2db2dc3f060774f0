"""Trainings as stages: killed and resumed they end as the uninterrupted ones, and they know what decides them."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import Dataset

from leopart_mm.apis import runner_stages
from leopart_mm.apis.runner_stages import TRAINED_BY, settings_of, train
from leopart_mm.apis.stages import Stage, run_stages
from leopart_mm.registry import DATASETS, HOOKS, MODELS


@DATASETS.register_module()
class TestNumbers(Dataset):
    __test__ = False
    metainfo = dict(classes=())

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return dict(inputs=torch.tensor([float(index), 1.]))


@MODELS.register_module()
class TestLine(BaseModel):
    __test__ = False

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(2, 1)

    def forward(self, inputs, mode='tensor'):
        return dict(loss=(self.line(inputs) - inputs[:, :1] * 3 + torch.rand(len(inputs), 1)).square().mean())


@HOOKS.register_module()
class TestStop(Hook):
    __test__ = False

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 7:
            raise KeyboardInterrupt


def config(stop=False, **changes):
    return Config(dict(
        model=dict(type='leopart_mm.TestLine'), default_scope='leopart_mm',
        train_dataloader=dict(batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=True),
                              dataset=dict(type='leopart_mm.TestNumbers')),
        train_cfg=dict(type='leopart_mm.ResumableEpochLoop', max_epochs=4),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=0.05)), randomness=dict(seed=0),
        default_hooks=dict(checkpoint=dict(type='leopart_mm.AtomicCheckpointHook', interval=1),
                           sampler_seed=dict(type='DistSamplerSeedHook')),
        custom_hooks=[dict(type='leopart_mm.StepSeedHook')] + [dict(type='leopart_mm.TestStop')] * stop,
        log_level='ERROR') | changes)


def stage(cfg, change=None):
    return Stage('line', lambda folder, before: train(cfg, change, folder, before), dict(seed=0))


def weights(folder):
    return torch.load(folder / 'line' / 'epoch_4.pth', weights_only=False)['state_dict']


def test_a_killed_training_resumes_to_the_same_weights(tmp_path):
    whole = run_stages([stage(config())], tmp_path / 'whole')['line']
    assert whole.result == dict(checkpoint='epoch_4.pth')
    with pytest.raises(KeyboardInterrupt):
        run_stages([stage(config(stop=True))], tmp_path / 'killed')
    assert sorted(path.name for path in (tmp_path / 'killed' / 'line').glob('*.pth')) == ['epoch_1.pth', 'epoch_2.pth']
    assert run_stages([stage(config())], tmp_path / 'killed')['line'].result == whole.result
    for name, value in weights(tmp_path / 'whole').items():
        assert torch.equal(value, weights(tmp_path / 'killed')[name])


def test_the_start_comes_from_an_earlier_stage_also_after_a_stop(tmp_path):
    """`change` sets load_from; a training that was begun continues from its own checkpoint instead."""
    run_stages([stage(config())], tmp_path / 'start')
    begin = tmp_path / 'start' / 'line' / 'epoch_4.pth'

    def change(cfg, folder, before):
        cfg.load_from = str(begin)

    run_stages([stage(config(), change)], tmp_path / 'whole')
    with pytest.raises(KeyboardInterrupt):
        run_stages([stage(config(stop=True), change)], tmp_path / 'killed')
    run_stages([stage(config(), change)], tmp_path / 'killed')
    assert torch.equal(weights(tmp_path / 'whole')['line.weight'], weights(tmp_path / 'killed')['line.weight'])
    assert not torch.equal(weights(tmp_path / 'whole')['line.weight'], weights(tmp_path / 'start')['line.weight'])


def test_settings_are_those_that_decide_the_result(tmp_path):
    file = tmp_path / 'weights.pth'
    file.write_bytes(b'1')
    before = settings_of(config(model=dict(type='leopart_mm.TestLine', checkpoint=str(file))), TRAINED_BY)
    copy = tmp_path / 'copy.pth'
    copy.write_bytes(b'1')
    moved = config(model=dict(type='leopart_mm.TestLine', checkpoint=str(copy)), work_dir='elsewhere')
    moved.train_dataloader.update(num_workers=3, persistent_workers=True)
    assert settings_of(moved, TRAINED_BY) == before
    file.write_bytes(b'2')
    changed = settings_of(config(model=dict(type='leopart_mm.TestLine', checkpoint=str(file))), TRAINED_BY)
    assert [key for key in before if before[key] != changed[key]] == ['model']
    moved.train_dataloader.batch_size = 2
    smaller = settings_of(moved, TRAINED_BY)
    assert [key for key in before if before[key] != smaller[key]] == ['train_dataloader']
    one, other = (config(data_root=root) for root in ('/one', '/other'))
    for cfg in (one, other):
        cfg.train_dataloader.dataset.data_root = cfg.data_root
    assert settings_of(one, TRAINED_BY) != settings_of(other, TRAINED_BY)
    assert settings_of(one, TRAINED_BY, ['/one']) == settings_of(other, TRAINED_BY, ['/other'])


@pytest.mark.parametrize(('score', 'expected'), [
    (None, dict(checkpoint='epoch_3.pth')),
    ('momentum/mIoU_defined', dict(checkpoint='best_epoch_2.pth', selected_by='momentum/mIoU_defined'))])
def test_the_best_checkpoint_counts_only_where_the_config_asks(tmp_path, monkeypatch, score, expected):
    def run():
        (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_3.pth'))

    hub = SimpleNamespace(get_info=lambda name, default: str(tmp_path / 'best_epoch_2.pth'))
    monkeypatch.setattr(runner_stages, '_runner', lambda cfg: SimpleNamespace(train=run, message_hub=hub))
    (tmp_path / 'em.py').touch()
    cfg = Config(dict(default_hooks=dict(checkpoint=dict(save_best=score))), filename=str(tmp_path / 'em.py'))
    assert train(cfg, None, tmp_path, {}) == expected


def test_another_choice_of_the_checkpoint_makes_a_training_stale():
    plain = Config(dict(optim_wrapper=dict(type='Adam'), default_hooks=dict(checkpoint=dict(interval=1))))
    best = Config(dict(plain._cfg_dict.to_dict(), default_hooks=dict(checkpoint=dict(save_best='mIoU'))))
    assert settings_of(plain, TRAINED_BY) != settings_of(best, TRAINED_BY)
    assert 'save_best' not in settings_of(plain, TRAINED_BY)
