"""A run of PriMaPs-EM: its start, its averages, and a resume that equals the uninterrupted run."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch.utils.data import Dataset

from leopart_mm.apis.inferencer import LeopartInferencer
from leopart_mm.models.decode_heads.prototype_head import LinearProbe
from tests.distributed import run_distributed
from tests.models.segmentors.prototypes import EM, KMEANS, samples, tiny_cfg

STEPS = 6
AUGMENTATION = dict(type='leopart_mm.StudentAugmentation')


@DATASETS.register_module()
class NoiseWithMasks(Dataset):
    """Six images that depend on their draw."""

    def __len__(self):
        return 6

    def __getitem__(self, draw):
        seed = int(draw) + 100 * getattr(draw, 'number', 0)
        generator = torch.Generator().manual_seed(seed)
        return dict(inputs=torch.randint(0, 256, (3, 32, 32), generator=generator, dtype=torch.uint8),
                    data_samples=samples(1, seed=seed)[0])


def runner(work_dir, objective, save_every=STEPS, resume=False, load_from=None, hook=None, labels=True, batch_size=2,
           student_augmentation=AUGMENTATION, launcher='none', drop_last=False):
    wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None)  # as engine/cli.py's
    return Runner.from_cfg(Config(dict(
        **({} if launcher == 'none' else dict(model_wrapper_cfg=wrapper)),
        default_scope='mmseg',
        custom_imports=dict(imports=['leopart_mm'], allow_failed_imports=False),
        model=tiny_cfg(objective, num_classes=4 if labels else None,
                       student_augmentation=student_augmentation),
        train_dataloader=dict(batch_size=batch_size, drop_last=drop_last, num_workers=0,
                              dataset=dict(type='mmengine.NoiseWithMasks'),
                              sampler=dict(type='leopart_mm.DrawSampler', shuffle=True),
                              collate_fn=dict(type='pseudo_collate')),
        test_pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')],
        train_cfg=dict(type='leopart_mm.ResumableEpochLoop', max_epochs=2),
        optim_wrapper=dict(type='OptimWrapper', constructor='leopart_mm.BackboneHeadConstructor',
                           optimizer=dict(type='Adam', lr=5e-2)),
        default_hooks=dict(checkpoint=dict(type='leopart_mm.AtomicCheckpointHook', by_epoch=False,
                                           interval=save_every), logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=[dict(type='leopart_mm.StepSeedHook'), dict(type='leopart_mm.PrototypeHook', **hook or {}),
                      dict(type='leopart_mm.HealthHook')],
        randomness=dict(seed=7), work_dir=str(work_dir), resume=resume, load_from=load_from, launcher=launcher,
        experiment_name=f'prototypes_{work_dir.parent.name}_{work_dir.name}_{resume}')))


def state_of(work_dir, step=STEPS):
    return torch.load(work_dir / f'iter_{step}.pth', weights_only=False)


@pytest.mark.slow
def test_baseline_then_em_and_a_resume_equals_the_whole_run(tmp_path):
    runner(tmp_path / 'baseline', KMEANS).train()
    baseline = state_of(tmp_path / 'baseline')['state_dict']
    assert torch.equal(baseline['decode_head.weight_v'], baseline['teacher.decode_head.weight_v'])
    assert (baseline['decode_head.weight_g'] == 1).all()

    em = dict(EM, ema_interval=1)
    start = dict(load_from=str(tmp_path / 'baseline' / f'iter_{STEPS}.pth'))
    first = runner(tmp_path / 'none', em, **start)
    first.call_hook('before_run')
    first._train_loop = first.build_train_loop(first._train_loop)
    first.load_or_resume()
    first.call_hook('before_train')
    assert torch.equal(first.model.decode_head.weight_v, baseline['decode_head.weight_v'])
    assert torch.equal(first.model.teacher.decode_head.weight_v, baseline['decode_head.weight_v'])
    assert int(first.model.ema_updates) == 0  # those of the baseline do not count
    torch.manual_seed(7)  # of the run
    fresh = LinearProbe(4, first.model.linear_probe.in_channels)
    assert torch.equal(first.model.linear_probe.weight, fresh.weight)
    assert torch.equal(first.model.linear_probe.bias, fresh.bias)

    runner(tmp_path / 'whole', em, **start).train()
    runner(tmp_path / 'killed', em, save_every=4, **start).train()
    (tmp_path / 'killed' / f'iter_{STEPS}.pth').unlink(missing_ok=True)
    (tmp_path / 'killed' / 'last_checkpoint').write_text(str(tmp_path / 'killed' / 'iter_4.pth'))
    runner(tmp_path / 'killed', em, resume=True).train()
    whole, resumed = (state_of(tmp_path / name) for name in ('whole', 'killed'))
    for key, value in whole['state_dict'].items():
        assert torch.equal(value, resumed['state_dict'][key]), key
    assert int(whole['state_dict']['ema_updates']) == STEPS - 1  # none at step 0
    moved = whole['state_dict']['decode_head.weight_v'] - baseline['decode_head.weight_v']
    assert moved.abs().max() > 0
    assert not torch.equal(whole['state_dict']['decode_head.weight_v'],
                           whole['state_dict']['teacher.decode_head.weight_v'])
    groups = whole['optimizer']['param_groups']
    assert sum(len(group['params']) for group in groups) == 4  # prototypes and probe, not the backbone


@pytest.mark.slow
def test_a_trained_checkpoint_segments_new_images_by_names_of_clusters(tmp_path):
    run = runner(tmp_path / 'run', KMEANS, labels=False)
    run.train()
    inferencer = LeopartInferencer(tmp_path / 'run' / f'iter_{STEPS}.pth', device='cpu')
    assert inferencer.names.names == ['cluster 0', 'cluster 1', 'cluster 2']
    image = np.random.default_rng(0).integers(0, 256, (40, 33, 3), dtype=np.uint8)
    found = inferencer.segment(image)
    assert found.labels.shape == (40, 33)
    data = dict(inputs=[torch.from_numpy(image).movedim(-1, 0)], data_samples=samples(1, proposals=False, labels=False))
    data['data_samples'][0].set_metainfo(dict(ori_shape=(40, 33)))
    expected = run.model.eval().test_step(data)[0].pred_sem_seg.data[0].numpy()
    assert (found.labels == expected).all()
    assert len(np.unique(expected)) > 1


def train_on_two(work_dir, objective, **kwargs):
    """Train on this process of two, each with half of every batch; returns what was trained."""
    run = runner(work_dir, objective, batch_size=1, student_augmentation=None, launcher='pytorch', **kwargs)
    run.train()
    state = run.model.module.state_dict()
    return {name: value.detach().clone() for name, value in state.items() if 'backbone' not in name}


@pytest.mark.slow
@pytest.mark.parametrize('objective', [KMEANS, dict(EM, ema_interval=1)], ids=['k-means', 'EM'])
def test_two_processes_train_as_one_does_also_resumed(tmp_path, objective):
    """PCA, losses, class weights, probe and momentum: the joint batch counts, whoever holds which part of it."""
    one = runner(tmp_path / 'one', objective, student_augmentation=None)
    one.train()
    expected = one.model.state_dict()
    first, second = run_distributed(train_on_two, 2, tmp_path / 'two', objective)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
        torch.testing.assert_close(value, expected[name], atol=1e-4, rtol=1e-4)
    run_distributed(train_on_two_until, 2, tmp_path / 'killed', objective, 4)
    resumed, _ = run_distributed(continue_on_two, 2, tmp_path / 'killed', objective)
    for name, value in first.items():
        assert torch.equal(value, resumed[name]), name


def train_on_two_until(work_dir, objective, step):
    """A run of two processes of which only the checkpoint after a step is left."""
    run = runner(work_dir, objective, save_every=step, batch_size=1, student_augmentation=None, launcher='pytorch')
    run.train()
    if dist.get_rank() == 0:
        for file in work_dir.glob('iter_*.pth'):
            if file.name != f'iter_{step}.pth':
                file.unlink()
        (work_dir / 'last_checkpoint').write_text(str(work_dir / f'iter_{step}.pth'))
    dist.barrier()


def continue_on_two(work_dir, objective):
    """Resume such a run."""
    return train_on_two(work_dir, objective, resume=True)


def test_fewer_images_than_a_batch_are_an_error_that_says_what_to_set(tmp_path):
    run = runner(tmp_path, KMEANS, batch_size=7, drop_last=True)
    with pytest.raises(ValueError, match=r'6 images are fewer than a batch of 7\. Set train_dataloader\.batch_size'):
        run.train()


def test_pca_reads_what_it_is_told_and_leaves_the_random_state(tmp_path):
    for number, cells in ((None, 6 * 16), (1, 2 * 16)):
        run = runner(tmp_path / str(number), KMEANS, hook=dict(num_batches=number))
        run.call_hook('before_run')
        run._train_loop = run.build_train_loop(run._train_loop)
        seen = []
        features = run.model.features
        run.model.features = lambda inputs, features=features, seen=seen: seen.append(features(inputs)) or seen[-1]
        before = torch.get_rng_state()
        run.call_hook('before_train')
        assert torch.equal(before, torch.get_rng_state())
        rows = torch.cat([one.movedim(1, -1).flatten(0, -2) for one in seen])
        assert len(rows) == cells
        expected = torch.linalg.svd(rows.double() - rows.double().mean(0), full_matrices=False)[2][:3].float()
        found = run.model.decode_head.prototypes()
        torch.testing.assert_close((found * expected).sum(1).abs(), torch.ones(3), atol=1e-4, rtol=0)
        assert torch.equal(run.model.teacher.decode_head.weight_v, run.model.decode_head.weight_v)
