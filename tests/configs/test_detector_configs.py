"""Mask R-CNN of MaskDistill: settings that are ours, and a step and a prediction of every config in a tiny size."""

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from leopart_mm.engine.config import load_config
from leopart_mm.registry import DATASETS, MODELS
from tests.datasets.instance_scenes import write_instances
from tests.paths import REPO
from tests.tiny_detector import TINY

PATHS = sorted((REPO / 'configs' / 'maskdistill').glob('mask-rcnn_*.py'))
VIT = {key: value for key, value in TINY.items() if key not in ('widths', 'frozen_stages')
       and 'backbone' not in key} | {
    'embed_dims': 32, 'model.backbone.model_kwargs': dict(img_size=64, embed_dim=32, depth=12, num_heads=2)}


@pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)
def test_settings_are_said_to_be_ours(path):
    text = path.read_text()
    assert 'ours' in text[:text.index('_base_')].lower()
    cfg = load_config(path)
    assert cfg.default_scope == 'mmdet'
    heads = cfg.model.roi_head
    assert heads.bbox_head.num_classes == heads.mask_head.num_classes == cfg.num_classes
    assert {cfg[name].dataset.num_classes for name in ('train_dataloader', 'test_dataloader')} == {cfg.num_classes}
    assert 'val_cfg' not in cfg, 'there are no labels to choose a checkpoint by'
    assert cfg.model.test_cfg.rcnn.score_thr == 0.05
    assert cfg.param_scheduler[1]['end'] == cfg.train_cfg.max_iters == cfg.iterations


def test_the_long_schedule_is_the_customary_one():
    """docs/methods/maskdistill.md §6, our default."""
    cfg = load_config(REPO / 'configs/maskdistill/mask-rcnn_r50_voc.py')
    assert (cfg.train_cfg.max_iters, cfg.train_dataloader.batch_size) == (24000, 16)
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4)
    warmup, steps = cfg.param_scheduler
    assert (warmup['end'], list(steps['milestones'])) == (100, [18000, 22000])
    scales = [tuple(scale) for scale in cfg.train_dataloader.dataset.pipeline[3]['scales']]
    assert (scales[0], scales[-1]) == ((1333, 480), (1333, 800))
    assert cfg.model.test_cfg.rcnn.nms.iou_threshold == 0.5
    assert cfg.model.test_cfg.rcnn.max_per_img == 100
    short = load_config(REPO / 'configs/maskdistill/mask-rcnn_r50_voc.py', dict(iterations=60)).param_scheduler
    assert (short[0]['end'], list(short[1]['milestones'])) == (6, [45, 55])


@pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)
def test_one_step_and_one_prediction(path, tmp_path):
    file = write_instances(tmp_path / 'scenes', 3)
    tiny = VIT if 'vit' in path.stem else TINY
    cfg = load_config(path, {**tiny, 'data_root': str(file.parent / 'images'), 'ann_file': str(file)})
    torch.manual_seed(0)
    np.random.seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
        model.init_weights()
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        train, test = (DATASETS.build(cfg[name].dataset) for name in ('train_dataloader', 'test_dataloader'))
        samples = [train[index] for index in range(2)]
        before = {key: value.clone() for key, value in model.state_dict().items()}
        losses = model.train().train_step(dict(inputs=[sample['inputs'] for sample in samples],
                                               data_samples=[sample['data_samples'] for sample in samples]), wrapper)
        assert torch.isfinite(losses['loss'])
        moved = {key.split('.')[0] for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
        assert moved == {'backbone', 'neck', 'rpn_head', 'roi_head'}
        sample = test[0]
        result, = model.eval().test_step(dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']]))
    found = result.pred_instances
    assert found.masks.shape == (len(found.scores), 64, 64)
    assert ((found.labels >= 0) & (found.labels < 2)).all()
