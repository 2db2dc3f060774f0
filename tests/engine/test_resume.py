"""A run that was killed and resumed equals the uninterrupted one bit for bit."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch.utils.data import Dataset

from tests.models.selfsup.builders import part_of, random_batch, tiny_cfg, tiny_neco_cfg

EPOCH, BATCH, EPOCHS = 3, 2, 2


@DATASETS.register_module()
class NoiseCrops(Dataset):
    """Samples as the multi-crop pipeline packs them; each depends on its draw, not on a global state."""

    def __init__(self, length: int = EPOCH * BATCH) -> None:
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, draw):
        inputs = part_of(random_batch(1, seed=int(draw) + 1000 * draw.number), 0, 1)
        return dict(
            inputs=dict(
                crops=[crop[0] for crop in inputs['crops']],
                **{name: value[0] for name, value in inputs.items() if name != 'crops'}))


class Killed(Exception):  # noqa: N818
    """Stands for SIGKILL."""


def _model(method: str) -> dict:
    queue, backbone = dict(length=40, per_image=4), dict(drop_path_rate=0.4)
    if method == 'leopart with adapters':
        return tiny_cfg(loss=dict(queue=queue), backbone=dict(backbone, trainable='lora_4'))
    if method == 'leopart':
        return tiny_cfg(loss=dict(queue=queue), backbone=backbone)
    return tiny_neco_cfg(loss=dict(queue=queue if method == 'neco with a queue' else None), backbone=backbone)


def _runner(work_dir: Path, by_epoch: bool, save_every: int, resume: bool = False, method: str = 'leopart') -> Runner:
    return Runner.from_cfg(run_config(work_dir, by_epoch, save_every, resume, method))


def run_config(work_dir: Path, by_epoch: bool, save_every: int, resume: bool = False, method: str = 'leopart',
               epochs: int = EPOCHS, batch: int = BATCH) -> Config:
    """A short run of a tiny model; `batch` must divide the 6 images."""
    total = EPOCH * BATCH // batch * epochs
    sampler = 'leopart_mm.DrawSampler' if by_epoch else 'leopart_mm.InfiniteDrawSampler'
    cfg = dict(
        default_scope='mmpretrain',
        custom_imports=dict(imports=['leopart_mm'], allow_failed_imports=False),
        model=_model(method),
        train_dataloader=dict(
            batch_size=batch,
            num_workers=0,
            dataset=dict(type='mmengine.NoiseCrops'),
            sampler=dict(type=sampler, shuffle=True),
            collate_fn=dict(type='default_collate')),
        train_cfg=(dict(type='leopart_mm.ResumableEpochLoop', max_epochs=epochs) if by_epoch else dict(
            type='leopart_mm.ResumableIterLoop', max_iters=total)),
        optim_wrapper=dict(
            type='OptimWrapper',
            constructor='leopart_mm.BackboneHeadConstructor',
            optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.04),
            paramwise_cfg=dict(head_lr=1e-2)),
        param_scheduler=[
            dict(type='CosineAnnealingLR', T_max=total, eta_min=0, by_epoch=False),
            dict(type='CosineAnnealingWeightDecay', T_max=total, eta_min=0.4, by_epoch=False),
        ],
        default_hooks=dict(
            checkpoint=dict(type='leopart_mm.AtomicCheckpointHook', by_epoch=False, interval=save_every),
            logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=[
            dict(type='leopart_mm.StepSeedHook'),
            dict(type='leopart_mm.SelfSupStepHook', momentum=0.9),
            dict(type='leopart_mm.HealthHook'),
        ],
        randomness=dict(seed=7),
        work_dir=str(work_dir),
        experiment_name=f'resume_{work_dir.parent.name}_{work_dir.name}_{resume}',
        resume=resume)
    return Config(cfg)


def _final_state(work_dir: Path) -> dict:
    return torch.load(work_dir / f'iter_{EPOCH * EPOCHS}.pth', weights_only=False)


def _assert_equal(ours, theirs, where=''):
    if isinstance(theirs, torch.Tensor):
        assert torch.equal(ours, theirs), where
    elif isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), where
        for key in theirs:
            _assert_equal(ours[key], theirs[key], f'{where}.{key}')
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), where
        for index, pair in enumerate(zip(ours, theirs, strict=True)):
            _assert_equal(*pair, f'{where}[{index}]')
    else:
        assert ours == theirs, where


def _rename_as_before(path: Path) -> None:
    """Give a checkpoint the keys it had when a head held the loss."""
    checkpoint = torch.load(path, weights_only=False)
    for name in ('queue.rows', 'queue.fill', 'queue.pushes', 'steps'):
        if f'head.{name}' in checkpoint['state_dict']:
            checkpoint['state_dict'][f'head.loss_module.{name}'] = checkpoint['state_dict'].pop(f'head.{name}')
    torch.save(checkpoint, path)


@pytest.mark.slow
@pytest.mark.parametrize('by_epoch', [True, False], ids=['epochs', 'iterations'])
@pytest.mark.parametrize(('method', 'killed_after', 'old_keys'), [
    ('leopart with adapters', 2, False), ('leopart', 4, True), ('neco with a queue', 2, True), ('neco', 4, False)])
def test_resume_equals_the_uninterrupted_run(tmp_path, by_epoch, method, killed_after, old_keys):
    _runner(tmp_path / 'whole', by_epoch, save_every=EPOCH * EPOCHS, method=method).train()

    runner = _runner(tmp_path / 'killed', by_epoch, save_every=killed_after, method=method)
    train_step, steps = runner.model.train_step, []

    def dying_step(*args, **kwargs):
        if len(steps) == killed_after + 1:  # a step later than the last checkpoint
            raise Killed
        steps.append(1)
        return train_step(*args, **kwargs)

    runner.model.train_step = dying_step
    with pytest.raises(Killed):
        runner.train()
    if old_keys:
        _rename_as_before(tmp_path / 'killed' / f'iter_{killed_after}.pth')
    _runner(tmp_path / 'killed', by_epoch, save_every=EPOCH * EPOCHS, resume=True, method=method).train()

    whole, resumed = (_final_state(tmp_path / name) for name in ('whole', 'killed'))
    assert whole['meta']['iter'] == resumed['meta']['iter'] == EPOCH * EPOCHS
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        _assert_equal(resumed[part], whole[part], part)
    history = [
        checkpoint['message_hub']['log_scalars']['train/loss'].data[0] for checkpoint in (whole, resumed)
    ]
    assert list(history[0]) == list(history[1])
    assert any('queue.rows' in key for key in whole['state_dict']) == (method != 'neco')
