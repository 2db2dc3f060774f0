"""Training configs of all methods: a config is what its name says, agrees with itself, and its kind takes a step."""

import re

import numpy as np
import pytest
import timm
import torch
from mmengine.dataset import Compose, default_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from PIL import Image

from leopart_mm.datasets import multi_crop_collate
from leopart_mm.engine.config import load_config
from leopart_mm.models.backbones import to_timm_state_dict
from leopart_mm.registry import HOOKS, MODELS, TRANSFORMS
from tests.paths import REPO

CONFIGS = REPO / 'configs'
PATHS = {path.stem: path for method in ('leopart', 'neco', 'paka') for path in sorted(CONFIGS.glob(f'*/{method}_*.py'))}
PUBLISHED = [name for name in PATHS if not re.search('folder|msrc21|sample', name)]
ARCHES = {'t': 'tiny', 's': 'small', 'b': 'base', 'l': 'large'}
ROOTS = {'coco': 'data/coco/images/train2017', 'voc': 'data/VOCdevkit/VOC2012', 'in100': 'data/imagenet/train',
         'in1k': 'data/imagenet/train'}


def arch_of(name):
    """The timm name of what a file name such as neco_dinov2r-xr-vits14_coco calls its network."""
    size, patch = re.search(r'vit([tsbl])(\d+)', name).groups()
    kind = '224' if patch != '14' else 'reg4_dinov2' if 'dinov2r-vit' in name else 'dinov2'
    return f'vit_{ARCHES[size]}_patch{patch}_{kind}'


@pytest.mark.parametrize('name', PUBLISHED)
def test_config_is_what_its_name_says(name):
    cfg = load_config(PATHS[name])
    backbone, loss = cfg.model.backbone, cfg.model.head
    if 'r50' not in name:
        assert backbone.arch == arch_of(name)
        assert backbone.get('class_position', False) == ('reg4' in backbone.arch)
        assert backbone.drop_path_rate == 0.1
    assert backbone.get('drop_registers', False) == ('-xr-' in name)
    assert cfg.train_dataloader.dataset.data_root == cfg.data_root == ROOTS[name.split('_')[2]]
    if found := re.search('mask-(all|bg|fg)', name):
        assert loss.mask == found[1]
    assert cfg.model.get('use_teacher', True) == ('no-teacher' not in name)
    sizes = next(step for step in cfg.train_dataloader.dataset.pipeline if 'Crop' in step.type)
    if name.startswith('leopart'):
        protos = re.search(r'protos-(\d+)', name)
        assert loss.num_prototypes == (int(protos[1]) if protos else 300)
        assert (loss.queue is None) == ('no-queue' in name)
        crops = {'crops-2': (2, ), 'crops-22': (2, 2)}.get(name.rpartition('_')[2], (2, 4))
        assert tuple(sizes.num_crops) == crops
        assert tuple(sizes.sizes) == (224, 96)[:len(crops)]
    else:
        side = re.search(r'(\d+)px', name)
        epochs = cfg.train_cfg.max_epochs
        assert tuple(sizes.sizes) == (int(side[1]) if side else {25: 518, 50: 224}[epochs], 98)
        assert cfg.val_dataloader.dataset.num_samples == 640
        assert cfg.randomness.seed == 400
        assert cfg.default_hooks.checkpoint.interval == 1
    if name.startswith('neco'):
        found = re.search(r'steep-(\d+)-(\d+)', name)
        steepness = tuple(map(float, found.groups())) if found else (100, 100)
        assert (loss.student_steepness, loss.teacher_steepness) == steepness
        assert (loss.queue is None) == (epochs == 50), 'short crops take their references from the batch'
    clean = next(step for step in cfg.train_dataloader.dataset.pipeline if 'Photometric' in step.type)
    assert clean.get('clean_global', False) == name.startswith('paka')
    assert sizes.get('min_containment', 0) == (0.9 if name.startswith('paka') else 0)


@pytest.mark.parametrize('name', PUBLISHED)
def test_config_agrees_with_itself(name):
    cfg = load_config(PATHS[name])
    gpus = 2 if name.startswith('leopart') else 1
    assert cfg.auto_scale_lr.base_batch_size == gpus * cfg.train_dataloader.batch_size
    assert {(scheduler['T_max'], scheduler['end']) for scheduler in cfg.param_scheduler} == {
        (cfg.train_cfg.max_epochs, ) * 2}
    assert [scheduler['eta_min'] for scheduler in cfg.param_scheduler] == [0, 0.5]
    assert cfg.train_dataloader.drop_last
    assert cfg.train_dataloader.sampler.shuffle
    ema, = [hook for hook in cfg.custom_hooks if 'momentum' in hook]
    assert (ema['momentum'], ema['end_momentum']) == (0.9995, 1)
    assert cfg.val_data_root == cfg.val_dataloader.dataset.data_root


def test_rates_fall_with_the_batch():
    """Large networks have half the batch and half the rates of Leopart's small ones (docs/methods/leopart.md §6)."""
    small, large = (load_config(PATHS[f'leopart_dino-{net}_coco']) for net in ('vits16', 'vitb16'))
    for cfg, scale in ((small, 1), (large, 2)):
        assert cfg.train_dataloader.batch_size == 32 // scale
        assert cfg.optim_wrapper.optimizer.lr == 1e-5 / scale
        assert cfg.optim_wrapper.paramwise_cfg.head_lr == 1e-4 / scale


def test_published_behaviour_is_one_config():
    cfg = load_config(PATHS['neco_dinov2-vits14_coco_published'])
    loss = cfg.model.head
    assert cfg.model.teacher_init == 'independent'
    assert (loss.queue.counting, loss.queue.gather, loss.mask_threshold) == ('shared', False, 1)
    assert loss.published_network
    assert loss.published_candidates
    assert any(hook.get('before_optimizer') for hook in cfg.custom_hooks)


@pytest.mark.parametrize('name', [name for name in PATHS if 'msrc21' in name])
def test_the_size_of_crops_is_one_option(name):
    for options, expected in (({}, [224, 96]), (dict(crop_sizes=(128, 64)), [128, 64])):
        cfg = load_config(PATHS[name], options)
        crops = next(step for step in cfg.train_dataloader.dataset.pipeline if 'Crop' in step.type)
        assert list(crops.sizes) == list(cfg.crop_sizes) == expected


def tiny(cfg):
    """The config's model on a backbone of two narrow blocks and patches of 8 pixels."""
    model = cfg.model.to_dict()
    backbone, head = model['backbone'], model['head']
    if backbone['type'] == 'leopart_mm.DenseViT':
        backbone.update(checkpoint=None, model_kwargs=dict(
            img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2))
        if not re.search('reg4|dinov3', backbone['arch']):
            backbone['arch'] = 'vit_tiny_patch16_224'
    else:
        backbone.update(checkpoint=None, depth=18, base_channels=8, stem_channels=8)
    model['neck'].update(hidden_channels=24, out_channels=6)
    if 'num_prototypes' in head:
        head['num_prototypes'] = 6
    else:
        head.update(kernel=3, mask_cfg=dict(kernel=3, min_component=1))
    if head.get('queue'):
        head['queue'].update(length=40)
    return model


def crops_of(cfg):
    crops = next(step for step in cfg.train_dataloader.dataset.pipeline if 'Crop' in step['type'])
    return tuple(crops.get('num_crops', (2, 4)))


def batch_of(cfg, collate=default_collate):
    """What the config's own crops and packing give for two noise images, with crops of 64 and 32 pixels."""
    crop, colours, pack = (dict(step) for step in cfg.train_dataloader.dataset.pipeline[1:])
    crop['sizes'] = (64, 32)[:len(crops_of(cfg))]
    steps = [TRANSFORMS.build(step) for step in (crop, colours, pack)]
    samples = []
    for seed in range(2):
        sample = dict(img=np.random.default_rng(seed).integers(0, 256, (70, 90 + seed, 3), dtype=np.uint8))
        for step in steps:
            sample = step(sample)
        samples.append(sample)
    return collate(samples)


LOADED = {name: load_config(path) for name, path in PATHS.items()}
# Settings that differ in nothing but network, data and schedule step once.
KINDS = {repr((tiny(cfg), crops_of(cfg))): name for name, cfg in LOADED.items()}


@pytest.mark.parametrize('name', KINDS.values())
def test_tiny_model_takes_a_step(name):
    cfg = LOADED[name]
    torch.manual_seed(0)
    np.random.seed(0)
    init_default_scope('mmpretrain')
    model = MODELS.build(tiny(cfg))
    model.init_weights()
    model.before_step()
    model.train()
    before = {key: value.clone() for key, value in model.named_parameters()}
    logs = model.train_step(batch_of(cfg), build_optim_wrapper(model, cfg.optim_wrapper))
    model.after_step()
    assert logs['loss'] > 0
    moved = {key.split('.')[0] for key, value in model.named_parameters() if not torch.equal(value, before[key])}
    assert {'backbone', 'neck'} <= moved
    assert 'teacher' not in moved, 'only the hook moves the teacher'
    assert (model.teacher is not None) == cfg.model.get('use_teacher', True)
    if getattr(model.head, 'queue', None) is not None:
        assert model.head.queue.fill.min() > 0


OWN = [name for name in PATHS if name not in PUBLISHED]  # those for data of one's own, docs/small_folders.md


@pytest.mark.parametrize('name', [name for name in PATHS if 'r50' not in name])
def test_what_is_trained_of_a_vit_is_one_option(name):
    cfg = LOADED[name]
    assert cfg.trainable == cfg.model.backbone.trainable == 'all'


@pytest.mark.parametrize('part', ['all', 'last_1', 'lora_2'])
@pytest.mark.parametrize('name', OWN)
@torch.no_grad()
def test_what_was_trained_is_exported_as_a_plain_file_of_timm(name, part, tmp_path):
    cfg = load_config(PATHS[name], dict(trainable=part))
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(tiny(cfg))
    trained = [key for key, value in model.backbone.named_parameters() if value.requires_grad]
    assert trained
    if part != 'all':
        assert all(('.lora_' if part.startswith('lora') else 'blocks.1.') in key for key in trained)
    for value in model.parameters():  # as a training leaves them: adapters change the network
        value.add_(torch.randn_like(value), alpha=0.2)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'iter_1.pth')
    backbone = tiny(cfg)['backbone']
    network = timm.create_model(backbone['arch'].partition('.')[0], num_classes=0, **backbone['model_kwargs']).eval()
    network.load_state_dict(to_timm_state_dict(tmp_path / 'iter_1.pth'), strict=True)
    image = torch.randn(1, 3, 32, 32)
    tokens = network.forward_features(image)[:, network.num_prefix_tokens:]
    torch.testing.assert_close(model.eval().backbone(image)[0].flatten(2).mT, tokens, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', [name for name in OWN if name.endswith('folder') and 'micro' not in name])
def test_a_folder_is_trained_with_care(name):
    """What its number of images decides, and a verdict that stops what has become worse and keeps the start."""
    cfg = LOADED[name]
    assert cfg.by_images == ['iterations', 'trainable', 'backbone_lr', 'crop_sizes']
    assert all(variable in cfg for variable in cfg.by_images)
    verdict = HOOKS.build(cfg.default_hooks.verdict)
    assert (verdict.checks, verdict.patience) == (10, 2)


@pytest.mark.parametrize('name', [
    'leopart_dino-vits16_folder', 'leopart_dino-vits16_coco', 'neco_dinov2r-vits14_folder',
    'neco_dinov2r-vits14_coco_224px', 'paka_dinov2r-vits14_folder', 'paka_dinov2r-vits14_coco'])
def test_device_crops_take_the_same_step(name):
    """One option turns them on in configs of folders and COCO; on a CPU, crops and losses are the same."""
    losses = []
    for device_crops, collate in ((False, default_collate), (True, multi_crop_collate)):
        cfg = load_config(PATHS[name], dict(device_crops=device_crops))
        assert cfg.train_dataloader.collate_fn.type == 'leopart_mm.multi_crop_collate'
        np.random.seed(0)
        batch = batch_of(cfg, collate)
        assert ('pixels' in batch['inputs']) == device_crops
        losses.append(loss_of_step(cfg, batch))
    assert losses[0] > 0
    assert losses[0] == losses[1]


def loss_of_step(cfg, batch):
    """Loss of a training step of the config's tiny model, always from the same weights."""
    torch.manual_seed(0)
    init_default_scope('mmpretrain')
    model = MODELS.build(tiny(cfg))
    model.init_weights()
    model.before_step()
    model.train()
    loss = model.train_step(batch, build_optim_wrapper(model, cfg.optim_wrapper))['loss']
    model.after_step()
    return loss


def test_device_decode_takes_the_same_step(tmp_path):
    """On a CPU, decoding in the data preprocessor gives the pixels of the workers."""
    losses = []
    for seed in range(2):
        pixels = np.random.default_rng(seed).integers(0, 256, (70, 90 + seed, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f'{seed}.jpg')
    for device_decode in (False, True):
        cfg = load_config(PATHS['leopart_dino-vits16_folder'], dict(device_crops=True, device_decode=device_decode))
        load, crops, *others = (dict(step) for step in cfg.train_dataloader.dataset.pipeline)
        steps = Compose([load, dict(crops, sizes=(64, 32)), *others])
        np.random.seed(0)
        batch = multi_crop_collate([steps(dict(img_path=str(tmp_path / f'{seed}.jpg'))) for seed in range(2)])
        assert ('jpegs' in batch['inputs']) == device_decode
        losses.append(loss_of_step(cfg, batch))
    assert losses[0] > 0
    assert losses[0] == losses[1]
