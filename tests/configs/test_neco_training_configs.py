"""NeCo's training configs: each says what the table of published configs says, and the shrunk model takes a step."""

import re

import pytest
import torch
import yaml
from mmengine.registry import DefaultScope

from leopart_mm.engine.config import load_config
from tests.configs.stepping import take_step
from tests.configs.test_training_configs import batch_of
from tests.paths import REPO

FOLDER = REPO / 'configs' / 'neco'
TRAININGS = [*sorted(FOLDER.glob('neco_*.py')), REPO / 'configs/msrc21/neco_vit-tiny_msrc21.py']
S14, B14, S16 = 'vit_small_patch14_dinov2', 'vit_base_patch14_dinov2', 'vit_small_patch16_224'
BASE = dict(arch=S14, init='dinov2_vits14_pretrain', width=384, xr=False, data='coco', side=518, batch=64, epochs=25,
            lr=1e-5, network='bitonic', steepness=(100, 100), queue=8192, mask='all', teacher=True)
LARGE = dict(arch=B14, width=768, batch=16)
REG = dict(arch='vit_small_patch14_reg4_dinov2', init='dinov2_vits14_reg4_pretrain')
XR = dict(init='dinov2_vits14_reg4_pretrain', xr=True)
SMALL = dict(side=224, epochs=50, queue=None)
PATCH16 = dict(SMALL, arch=S16, batch=45)
ABLATION = dict(SMALL | XR, batch=55, lr=1e-6)
ODD_EVEN = dict(ABLATION, network='odd_even')
VOC = dict(ODD_EVEN, data='VOC2012')
TABLE = {  # docs/methods/neco.md §6.4
    'dinov2-vits14_coco': {},
    'dinov2r-vits14_coco': REG,
    'dinov2r-xr-vits14_coco': XR,
    'dinov2-vitb14_coco': dict(LARGE, init='dinov2_vitb14_pretrain', lr=5e-6),
    'dinov2r-vitb14_coco': dict(
        LARGE, arch='vit_base_patch14_reg4_dinov2', init='dinov2_vitb14_reg4_pretrain', lr=1e-6),
    'dinov2r-xr-vitb14_coco': dict(LARGE, init='dinov2_vitb14_reg4_pretrain', xr=True, lr=1e-6),
    'dino-vits16_coco': dict(PATCH16, init='dino_deitsmall16_pretrain'),
    'timet-vits16_coco': dict(PATCH16, init='timetuning'),
    'leopart-vits16_coco': dict(PATCH16, init='leopart'),
    'dinov2r-vits14_coco_224px': dict(SMALL | REG, batch=6, lr=1e-6),
    'dinov2r-vits14_coco_518px': dict(SMALL | REG, side=518, batch=6, lr=1e-6),
    **{f'dinov2r-xr-vits14_coco_steep-{s}-{t}': dict(ABLATION, steepness=(s, t))
       for s, t in ((100, 100), (100, 1000), (1000, 1000), (10, 100), (10, 1000))},
    'dinov2r-xr-vits14_coco_odd-even': ODD_EVEN,
    'dinov2r-xr-vits14_in100': dict(ODD_EVEN, data='imagenet'),
    'dinov2r-xr-vits14_voc': VOC,
    'dinov2r-xr-vits14_voc_mask-fg': dict(VOC, mask='fg'),
    'dinov2r-xr-vits14_voc_mask-bg': dict(VOC, mask='bg'),
    'dinov2r-xr-vits14_voc_no-teacher': dict(VOC, teacher=False),
    'own-vits14_coco': dict(ABLATION, init='neco_vits14', xr=False),
}


@pytest.fixture(autouse=True)
def pretrain_scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def test_every_published_config_is_there_and_listed():
    names = {path.stem.removeprefix('neco_') for path in FOLDER.glob('neco_*.py')}
    assert names - set(TABLE) == {'dinov2-vits14_coco_published', 'dinov2r-vits14_folder'}
    assert set(TABLE) <= names
    listed = {model['Name'] for model in yaml.safe_load((FOLDER / 'metafile.yml').read_text())['Models']}
    assert {f'neco_{name}' for name in TABLE} <= listed


@pytest.mark.parametrize('name', TABLE)
def test_config_says_what_the_table_says(name):
    path = FOLDER / f'neco_{name}.py'
    cfg, expected = load_config(path), {**BASE, **TABLE[name]}
    model, loss = cfg.model, cfg.model.head
    assert model.backbone.arch == expected['arch']
    assert expected['init'] in model.backbone.checkpoint == cfg.checkpoint
    assert model.backbone.get('drop_registers', False) == expected['xr']
    assert model.backbone.get('class_position', False) == ('reg4' in expected['arch'])
    assert model.backbone.drop_path_rate == 0.1
    assert model.backbone.get('size_mode', 'pad') == ('drop' if expected['arch'] == S16 else 'pad')
    assert (model.neck.hidden_channels, model.neck.out_channels, model.neck.num_layers) == (2048, 256, 3)
    assert (loss.kernel, loss.relaxation, loss.similarity) == (7, 'cauchy', 'cosine')
    assert (loss.network, loss.mask) == (expected['network'], expected['mask'])
    assert (loss.student_steepness, loss.teacher_steepness) == expected['steepness']
    assert (loss.queue.length if loss.queue else None) == expected['queue']
    assert model.get('use_teacher', True) == expected['teacher']
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == expected['batch']
    assert cfg.train_dataloader.drop_last
    assert cfg.train_dataloader.sampler.shuffle
    assert cfg.optim_wrapper.optimizer.lr == expected['lr']
    assert cfg.optim_wrapper.optimizer.weight_decay == 0.04
    assert cfg.optim_wrapper.paramwise_cfg.head_lr == 1e-4
    assert cfg.train_cfg.max_epochs == expected['epochs']
    assert {(one['T_max'], one['end']) for one in cfg.param_scheduler} == {(expected['epochs'], ) * 2}
    assert [one['eta_min'] for one in cfg.param_scheduler] == [0, 0.5]
    ema, = [hook for hook in cfg.custom_hooks if hook['type'] == 'leopart_mm.SelfSupStepHook']
    assert (ema['momentum'], ema['end_momentum']) == (0.9995, 1)
    assert cfg.default_hooks.checkpoint.interval == 1
    assert cfg.randomness.seed == 400
    assert expected['data'] in cfg.train_dataloader.dataset.data_root == cfg.data_root
    pipeline = {one['type']: one for one in cfg.train_dataloader.dataset.pipeline}
    crop = pipeline['leopart_mm.RoIAlignedMultiCrop']
    assert (tuple(crop['num_crops']), tuple(crop['sizes'])) == ((2, 4), (expected['side'], 98))
    assert (pipeline['leopart_mm.DrawPhotometric']['jitter'], pipeline['leopart_mm.DrawPhotometric']['blur']) == (1, 1)
    assert cfg.val_dataloader.dataset.num_samples == 640
    assert cfg.val_cfg.segmentor.decode_head.num_clusters == 500
    assert re.search('[Pp]ublished', path.read_text())


def test_published_behaviour_is_one_config():
    cfg = load_config(FOLDER / 'neco_dinov2-vits14_coco_published.py')
    loss = cfg.model.head
    assert cfg.model.teacher_init == 'independent'
    assert (loss.queue.counting, loss.queue.gather, loss.mask_threshold) == ('shared', False, 1)
    assert loss.published_network
    assert loss.published_candidates
    assert any(hook.get('before_optimizer') for hook in cfg.custom_hooks)


def shrunk(cfg):
    """The config's model on a backbone of two narrow blocks and patches of 8 pixels."""
    model = cfg.model.to_dict()
    model['backbone'].update(
        checkpoint=None, model_kwargs=dict(img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2))
    model['neck'].update(hidden_channels=24, out_channels=6)
    loss = model['head']
    loss['kernel'] = 3
    loss['mask_cfg'] = dict(kernel=3, min_component=1)
    if loss.get('queue'):
        loss['queue'].update(length=40)
    return model


@pytest.mark.parametrize('path', TRAININGS, ids=lambda path: path.stem)
def test_shrunk_model_takes_a_step(path):
    cfg = load_config(path)
    model, logs, changed = take_step(cfg, shrunk(cfg), batch_of)
    assert torch.isfinite(logs['loss'])
    assert logs['loss'] > 0
    assert changed
    assert (model.teacher is not None) == cfg.model.get('use_teacher', True)
    if model.head.queue is not None:
        assert model.head.queue.fill.min() > 0
