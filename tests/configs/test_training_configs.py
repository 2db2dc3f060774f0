"""Every published training config: it says what the paper's table says, and the shrunk model takes a step."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from leopart_mm.registry import TRANSFORMS
from tests.configs.stepping import take_step
from tests.paths import REPO

FOLDER = REPO / 'configs' / 'leopart'
BASE = dict(arch='vit_small_patch16_224', width=384, batch=32, lr=1e-5, head_lr=1e-4, epochs=50, crops=(2, 4),
            prototypes=300, mask='fg', queue=8192, teacher=True, data='imagenet')
HALF = dict(width=768, batch=16, lr=5e-6, head_lr=5e-5)
TABLE = {  # docs/methods/leopart.md §6
    'dino-vits16_in100': {},
    'dino-vits16_coco': dict(data='coco'),
    'dino-vitb16_coco': dict(data='coco', arch='vit_base_patch16_224', **HALF),
    'dino-vitb8_coco': dict(data='coco', arch='vit_base_patch8_224', **HALF),
    'mae-vitb16_coco': dict(data='coco', arch='vit_base_patch16_224', width=768),
    'mae-vitl16_coco': dict(data='coco', arch='vit_large_patch16_224', width=1024),
    'mocov3-vits16_coco': dict(data='coco'),
    'sup-vits16_coco': dict(data='coco'),
    'mocov2-r50_coco': dict(data='coco', arch=None, width=2048, mask='all'),
    'scratch-vits16_in1k': dict(mask='all', epochs=400),
    'dino-vits16_voc': dict(data='VOC2012', epochs=500),
    'dino-vits16_in100_crops-2': dict(crops=(2, )),
    'dino-vits16_in100_crops-22': dict(crops=(2, 2)),
    'dino-vits16_in100_mask-all': dict(mask='all'),
    'dino-vits16_in100_mask-bg': dict(mask='bg'),
    'dino-vits16_in100_protos-100': dict(prototypes=100),
    'dino-vits16_in100_protos-500': dict(prototypes=500),
    'dino-vits16_in100_no-queue': dict(queue=None),
    'dino-vits16_in100_no-teacher': dict(teacher=False),
}


def load(name):
    return Config.fromfile(FOLDER / f'leopart_{name}.py')


@pytest.fixture(autouse=True)
def pretrain_scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.mark.parametrize('name', TABLE)
def test_config_says_what_the_table_says(name):
    cfg, expected = load(name), {**BASE, **TABLE[name]}
    model, loss = cfg.model, cfg.model.head
    assert model.backbone.get('arch') == expected['arch']
    assert model.head.num_prototypes == expected['prototypes']
    assert loss.mask == expected['mask']
    assert (loss.queue.length if loss.queue else None) == expected['queue']
    assert model.get('use_teacher', True) == expected['teacher']
    assert cfg.train_dataloader.batch_size == expected['batch']
    assert cfg.optim_wrapper.optimizer.lr == expected['lr']
    assert cfg.optim_wrapper.paramwise_cfg.head_lr == expected['head_lr']
    assert cfg.train_cfg.max_epochs == expected['epochs']
    assert {(one['T_max'], one['end']) for one in cfg.param_scheduler} == {(expected['epochs'], ) * 2}
    assert expected['data'] in cfg.train_dataloader.dataset.data_root == cfg.data_root
    crop, = [one for one in cfg.train_dataloader.dataset.pipeline if one['type'] == 'leopart_mm.RoIAlignedMultiCrop']
    assert tuple(crop['num_crops']) == expected['crops']
    assert 'of the paper' in (FOLDER / f'leopart_{name}.py').read_text()


def shrunk(cfg):
    model = cfg.model.to_dict()
    if model['backbone']['type'] == 'leopart_mm.DenseViT':
        model['backbone'].update(checkpoint=None, arch='vit_tiny_patch16_224',
                                 model_kwargs=dict(img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2))
    else:
        model['backbone'].update(checkpoint=None, depth=18, base_channels=8, stem_channels=8)
    model['neck'].update(hidden_channels=24, out_channels=6)
    model['head'].update(num_prototypes=max(2, model['head']['num_prototypes'] // 50))
    if model['head'].get('queue'):
        model['head']['queue'] = dict(length=40)
    return model


def batch_of(cfg):
    """What the config's own crops and packing give for two noise images, with crops of 64 and 32 pixels."""
    crop, colours, pack = (dict(one) for one in cfg.train_dataloader.dataset.pipeline[1:])
    crop['sizes'] = (64, 32)[:len(crop.get('num_crops', (2, 4)))]
    steps = [TRANSFORMS.build(one) for one in (crop, colours, pack)]
    samples = []
    for seed in range(2):
        sample = dict(img=np.random.default_rng(seed).integers(0, 256, (70, 90, 3), dtype=np.uint8))
        for step in steps:
            sample = step(sample)
        samples.append(sample)
    from mmengine.dataset import default_collate
    return default_collate(samples)


@pytest.mark.parametrize('name', TABLE)
def test_shrunk_model_takes_a_step(name):
    cfg = load(name)
    model, logs, changed = take_step(cfg, shrunk(cfg), batch_of)
    assert torch.isfinite(logs['loss'])
    assert changed
    assert (model.teacher is not None) == cfg.model.get('use_teacher', True)
