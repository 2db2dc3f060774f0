"""DeepLab of MaskDistill: settings as published, and a step and a prediction of every config in a tiny size."""

import shutil

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from leopart_mm.datasets.sample import write_sample
from leopart_mm.engine.config import load_config
from leopart_mm.registry import DATASETS, MODELS
from tests.paths import REPO

FOLDER = REPO / 'configs' / 'maskdistill'
PATHS = sorted([*FOLDER.glob('deeplab_*.py'), *FOLDER.glob('linear_*.py')])
SIZE, CLASSES = (32, 32), 21
ROWS = {  # docs/methods/maskdistill.md §15: file -> batch, epochs, lr, epochs at the full rate, scored with CRF
    'deeplab_moco-r50_voc': (16, 45, 0.002, 41, False),
    'deeplab_moco-r50_voc_plus_crf': (16, 45, 0.002, 41, True),
    'deeplab_moco-r50_voc_avg': (16, 45, 0.002, 41, False),
    'deeplab_moco-r50_voc_avg_plus_crf': (16, 45, 0.002, 41, True),
    'linear_moco-r50_voc': (16, 60, 0.1, 26, False),
    'linear_moco-r50_voc_avg': (24, 45, 0.1, 26, False),
    'linear_moco-r50_voc_avg_plus_crf': (24, 45, 0.1, 26, True),
}


def stem_of(path):
    return path.stem


@pytest.mark.parametrize('name', ROWS)
def test_rows_of_the_table(name):
    cfg = load_config(FOLDER / f'{name}.py')
    batch, epochs, lr, steps, crf = ROWS[name]
    optimizer, (schedule, ) = cfg.optim_wrapper.optimizer, cfg.param_scheduler
    assert (cfg.train_dataloader.batch_size, cfg.train_cfg.max_epochs, optimizer.lr) == (batch, epochs, lr)
    assert cfg.auto_scale_lr.base_batch_size == batch
    assert (optimizer.type, optimizer.momentum, optimizer.weight_decay) == ('SGD', 0.9, 1e-4)
    assert (list(schedule.milestones), schedule.gamma, schedule.by_epoch) == ([steps], 0.1, True)
    assert list(cfg.model.postprocessors) == ['crf'] * crf
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert ('KeepNetworkSize' in str(loader.dataset.pipeline)) == (not crf)
        assert loader.dataset.split == 'val'
    assert cfg.train_dataloader.drop_last
    assert cfg.test_evaluator.matching == 'direct'
    assert cfg.test_evaluator.resize == 'corner'
    assert 'save_best' not in cfg.default_hooks.checkpoint
    data = cfg.train_dataloader.dataset
    if name.startswith('linear'):
        assert (data.split, data.data_prefix.seg_map_path) == ('trainaug', 'SegmentationClassAug')
        assert cfg.model.decode_head.loss_decode == dict(type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.)
        assert cfg.load_from == cfg.checkpoint
        assert cfg.model.backbone.checkpoint is None
    else:
        assert data.labels == cfg.label_folder
        assert cfg.model.decode_head.loss_decode.share == 0.2
        assert cfg.model.backbone.frozen_stages == 2


def test_rows_differ_in_their_label_maps():
    folders = [load_config(FOLDER / f'{name}.py').label_folder for name in ROWS if name.startswith('deeplab')]
    assert len(set(folders)) == 4


def test_published_behaviour_is_one_config():
    cfg, ours = (load_config(FOLDER / f'deeplab_moco-r50_voc{ending}.py') for ending in ('_published', ''))

    def affine(config):
        return next(step for step in config.train_dataloader.dataset.pipeline if 'Affine' in step.type)

    assert (affine(cfg).border, affine(ours).border) == (0, 255)
    assert (cfg.model.decode_head.loss_decode.joint, ours.model.decode_head.loss_decode.joint) == (False, True)
    assert cfg.default_hooks.checkpoint.save_best == 'mIoU'
    order = [step.type for step in cfg.val_dataloader.dataset.pipeline]
    assert order.index('LoadAnnotations') < order.index('Resize'), 'labels at the size of the network'
    assert cfg.test_dataloader == ours.test_dataloader


@pytest.mark.parametrize('path', PATHS, ids=stem_of)
def test_options_reach_every_place(path):
    given = dict(data_root='/data', epochs=9)
    if path.stem.startswith('deeplab'):
        given.update(label_folder='/maps', num_classes=5, crf=True)
    cfg = load_config(path, given)
    assert {cfg[name].dataset.data_root for name in ('train_dataloader', 'test_dataloader')} == {'/data'}
    assert cfg.train_cfg.max_epochs == 9
    assert all(0 < schedule.get('milestones', [9])[0] <= 9 and schedule.get('end', 9) == 9
               for schedule in cfg.param_scheduler)
    if path.stem.startswith('deeplab'):
        assert cfg.train_dataloader.dataset.labels == '/maps'
        assert cfg.model.decode_head.num_classes == cfg.train_dataloader.dataset.num_classes == 5
        assert list(cfg.model.postprocessors) == ['crf']
        assert 'KeepNetworkSize' not in str(cfg.test_dataloader.dataset.pipeline)


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Images with true labels in VOC's folders, and the folder of maps of a run."""
    root = tmp_path_factory.mktemp('voc')
    write_sample(root, num_images=8, size=40)
    shutil.copytree(root / 'SegmentationClass', root / 'SegmentationClassAug')
    shutil.copytree(root / 'SegmentationClass', root / 'maps' / 'labels')
    lists = root / 'ImageSets' / 'Segmentation'
    shutil.copy(lists / 'train.txt', lists / 'trainaug.txt')
    shutil.copy(lists / 'train.txt', root / 'maps' / 'images.txt')
    return root


def tiny(path, place):
    """The config with a narrow network, small images, and the data of `place`."""
    cfg = load_config(path, dict(data_root=str(place / 'JPEGImages' if 'folder' in path.stem else place)))
    model = cfg.model
    if 'vit' in path.stem:
        model.backbone.update(checkpoint=None, model_kwargs=dict(img_size=32, embed_dim=16, depth=12, num_heads=2))
        model.decode_head.update(in_channels=16, channels=8)
    else:
        model.backbone.update(checkpoint=None, depth=18, base_channels=8, stem_channels=8)
        model.decode_head.update(in_channels=64, channels=8)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        if loader is None:
            continue
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        for step in loader.dataset.pipeline:
            if step.type == 'Resize':
                step.scale = SIZE
        if loader.dataset.type == 'leopart_mm.LabelledImages':
            loader.dataset.labels = str(place / 'maps')
    return cfg


# Settings that differ in nothing but the label maps and the schedule run once.
KINDS = {repr((cfg.model, cfg.train_dataloader.dataset.pipeline, cfg.test_dataloader.dataset.pipeline)): path
         for path in PATHS for cfg in [load_config(path)]}


@pytest.mark.parametrize('path', KINDS.values(), ids=stem_of)
def test_one_step_and_one_prediction(path, place):
    cfg = tiny(path, place)
    torch.manual_seed(0)
    np.random.seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
        model.init_weights()
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        train, test = (DATASETS.build(cfg[name].dataset) for name in ('train_dataloader', 'test_dataloader'))
        samples = [train[index] for index in range(2)]
    assert all(tuple(sample['data_samples'].gt_sem_seg.shape) == SIZE for sample in samples)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    losses = model.train().train_step(dict(inputs=[sample['inputs'] for sample in samples],
                                           data_samples=[sample['data_samples'] for sample in samples]), wrapper)
    assert torch.isfinite(losses['loss'])
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    if path.stem.startswith('linear'):
        assert moved == {'decode_head.layers.4.weight', 'decode_head.layers.4.bias'}
    else:
        assert {'decode_head.layers.4.weight', 'decode_head.layers.1.weight'} <= moved
        frozen = ('backbone.layer1', 'backbone.layer2', 'backbone.conv1', 'backbone.bn1', 'backbone.blocks.7.',
                  'backbone.patch_embed')
        trained = 'backbone.blocks.8.' if 'vit' in path.stem else 'backbone.layer3'
        assert not [key for key in moved if key.startswith(frozen)]
        assert [key for key in moved if key.startswith(trained)]
    sample = test[0]
    found, = model.eval().test_step(dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']]))
    size = SIZE if 'KeepNetworkSize' in str(cfg.test_dataloader.dataset.pipeline) else (40, 40)
    assert found.pred_sem_seg.shape == size
    assert found.seg_logits.shape == size
    assert 0 <= found.pred_sem_seg.data.min() <= found.pred_sem_seg.data.max() < cfg.num_classes
