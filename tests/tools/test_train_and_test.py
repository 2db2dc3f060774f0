"""tools/train.py and tools/test.py, and mmsegmentation's own tools, run the same configs from the command line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from leopart_mm.datasets.sample import write_sample
from tests.paths import REPO

TRAIN = """
custom_imports = dict(imports=['leopart_mm'], allow_failed_imports=False)
default_scope = 'mmpretrain'
data_root = 'nowhere'
model = dict(
    type='leopart_mm.Leopart',
    backbone=dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224',
                  model_kwargs=dict(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=2)),
    neck=dict(type='leopart_mm.ProjectionHead', in_channels=24, hidden_channels=32, out_channels=16),
    head=dict(type='leopart_mm.LeopartHead', embed_dims=16, num_prototypes=8),
    data_preprocessor=dict(type='leopart_mm.MultiCropDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3))
train_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type='leopart_mm.InfiniteDrawSampler'), drop_last=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='leopart_mm.UnlabelledImages', data_root=data_root + '/JPEGImages', pipeline=[
        dict(type='leopart_mm.LoadImage'),
        dict(type='leopart_mm.RoIAlignedMultiCrop', sizes=(32, 16), num_crops=(2, 1)),
        dict(type='leopart_mm.DrawPhotometric'), dict(type='leopart_mm.PackMultiCrop')]))
train_cfg = dict(type='leopart_mm.ResumableIterLoop', max_iters=4)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.04),
                     constructor='leopart_mm.BackboneHeadConstructor')
param_scheduler = [dict(type='CosineAnnealingLR', T_max=4, end=4, by_epoch=False)]
default_hooks = dict(logger=dict(type='LoggerHook', interval=1), timer=dict(type='IterTimerHook'),
                     param_scheduler=dict(type='ParamSchedulerHook'), sampler_seed=dict(type='DistSamplerSeedHook'),
                     checkpoint=dict(type='leopart_mm.AtomicCheckpointHook', by_epoch=False, interval=2))
custom_hooks = [dict(type='leopart_mm.StepSeedHook'),
                dict(type='leopart_mm.EMATeacherHook', momentum=0.9, end_momentum=0.9),
                dict(type='leopart_mm.BackboneCheckpointHook')]
randomness = dict(seed=3)
log_processor = dict(by_epoch=False)
"""
EVALUATE = """
custom_imports = dict(imports=['leopart_mm'], allow_failed_imports=False)
default_scope = 'mmseg'
data_root = 'nowhere'
model = dict(
    type='leopart_mm.UnsupervisedSegmentor',
    backbone=dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224',
                  model_kwargs=dict(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=2)),
    decode_head=dict(type='leopart_mm.OverclusterHead', num_clusters=10, seeds=2, pca_dim=8, niter=10, nredo=1),
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True))
test_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type='leopart_mm.VOCLayoutDataset', data_root=data_root, split='val', pipeline=[
        dict(type='LoadImageFromFile'), dict(type='Resize', scale=(64, 64)), dict(type='LoadAnnotations'),
        dict(type='PackSegInputs')]))
test_cfg = dict(type='leopart_mm.FitTestLoop')
test_evaluator = dict(type='leopart_mm.ClusterMetric')
custom_hooks = [dict(type='leopart_mm.BackboneCheckpointHook')]
"""


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder with a data set, a training and an evaluation config."""
    folder = tmp_path_factory.mktemp('tools')
    write_sample(folder / 'data', num_images=16, size=64)
    (folder / 'train.py').write_text(TRAIN)
    (folder / 'evaluate.py').write_text(EVALUATE)
    return folder


def run(tool, *args, expect=0, launcher=()):
    command = [sys.executable, *launcher, str(tool), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPO,
                          env={**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''})
    assert done.returncode == expect, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def mmseg_tool(name):
    import mmseg
    return Path(mmseg.__file__).parent / '.mim' / 'tools' / name


def data_root(place):
    return ('--cfg-options', f'data_root={place / "data"}')


def weights(path):
    return torch.load(path, weights_only=True)['state_dict']


def miou(output):
    return float(re.findall(r'mIoU: ([\d.]+)', output)[-1])


@pytest.fixture(scope='module')
def trained(place):
    run('tools/train.py', place / 'train.py', '--work-dir', place / 'run', *data_root(place))
    return place / 'run' / 'iter_4.pth'


def test_train_resume_equals_one_run(place, trained):
    stopped = place / 'stopped'
    run('tools/train.py', place / 'train.py', '--work-dir', stopped, *data_root(place), 'train_cfg.max_iters=2')
    run('tools/train.py', place / 'train.py', '--work-dir', stopped, '--resume', *data_root(place))
    ours, expected = weights(stopped / 'iter_4.pth'), weights(trained)
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[key], expected[key]) for key in ours)


@pytest.mark.slow
@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_train_amp(place, dtype):
    out = run('tools/train.py', place / 'train.py', '--work-dir', place / dtype, '--amp', *data_root(place),
              f'optim_wrapper.dtype={dtype}', 'train_cfg.max_iters=2')
    losses = [float(value) for value in re.findall(r' loss: (\S+)', out)]
    assert len(losses) == 2
    assert all(np.isfinite(losses))


def test_evaluate_draw_and_keep(place, trained):
    out = run('tools/test.py', place / 'evaluate.py', trained, '--work-dir', place / 'eval', '--out', place / 'labels',
              '--save-fitted', place / 'fitted.pth', *data_root(place))
    assert 0 < miou(out) <= 100
    # The training checkpoint has parts that a segmentor lacks: one line, which does not look like a failure.
    assert 'do not match' not in out
    assert 'fills backbone.*. Not used here: head.*, neck.*, teacher.backbone.*, teacher.head.*, teacher.neck.*.' in out
    names = (place / 'data/ImageSets/Segmentation/val.txt').read_text().split()
    assert sorted(path.stem for path in (place / 'labels').glob('*.png')) == sorted(names)
    assert np.asarray(Image.open(place / 'labels' / f'{names[0]}.png')).shape == (64, 64)
    again = run('tools/test.py', place / 'evaluate.py', place / 'fitted.pth', '--work-dir', place / 'eval2',
                *data_root(place))
    assert 'without fitting' in again
    assert miou(again) == miou(out)


@pytest.mark.slow
def test_mmsegs_own_tools_run_the_same_configs(place, trained):
    root = place / 'data'
    run(mmseg_tool('train.py'), place / 'train.py', '--work-dir', place / 'mmseg', '--cfg-options',
        f'train_dataloader.dataset.data_root={root}/JPEGImages')
    assert all(torch.equal(value, weights(trained)[key]) for key, value in weights(place / 'mmseg/iter_4.pth').items())
    ours = run('tools/test.py', place / 'evaluate.py', trained, '--work-dir', place / 'eval3', *data_root(place))
    theirs = run(mmseg_tool('test.py'), place / 'evaluate.py', trained, '--work-dir', place / 'eval4', '--cfg-options',
                 f'test_dataloader.dataset.data_root={root}')
    assert miou(theirs) == miou(ours)


@pytest.mark.slow
def test_two_processes_give_the_same_score(place, trained):
    launcher = ('-m', 'torch.distributed.run', '--nproc_per_node=2', '--master_port=29641')
    one = run('tools/test.py', place / 'evaluate.py', trained, '--work-dir', place / 'one', *data_root(place))
    two = run('tools/test.py', place / 'evaluate.py', trained, '--work-dir', place / 'two', '--launcher', 'pytorch',
              *data_root(place), launcher=launcher)
    assert miou(two) == miou(one)


def test_what_is_wrong_is_said(place, trained):
    missing = run('tools/train.py', 'configs/nothing.py', expect=1)
    assert 'There is no config file configs/nothing.py' in missing
    nowhere = run('tools/train.py', place / 'train.py', '--work-dir', place / 'x', expect=1)
    assert 'nowhere/JPEGImages' in nowhere.splitlines()[-1] or 'nowhere' in nowhere
    no_file = run('tools/test.py', place / 'evaluate.py', 'none.pth', '--work-dir', place / 'x', *data_root(place),
                  expect=1)
    assert 'There is no checkpoint file none.pth' in no_file
    torch.save({'state_dict': {'conv1.weight': torch.zeros(3)}}, place / 'other.pth')
    wrong = run('tools/test.py', place / 'evaluate.py', place / 'other.pth', '--work-dir', place / 'x',
                *data_root(place), expect=1)
    assert 'other.pth' in wrong
    assert 'conv1.weight' in wrong
