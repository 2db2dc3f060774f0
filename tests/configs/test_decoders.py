"""Every decoder of mmseg over DenseViT: the config builds, learns one step and predicts, with everything shrunk."""

import importlib.util

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import leopart_mm  # noqa: F401
from leopart_mm.engine.config import load_config
from tests.paths import REPO

WIDTH, SIDE = 48, 64
FOLDER = REPO / 'configs' / 'leopart'
# Probes that differ in network and data alone run once.
FILES = [FOLDER / f'{name}.py' for name in ('linear/vits16_voc', 'linear/r50_voc', 'fcn/vits16_voc')]
FILES += [REPO / 'configs/neco/linear/vits14_ade20k.py', *sorted((FOLDER / 'decoders').glob('*.py'))]
SMALL = dict(num_layers=1, num_queries=10, num_points=64)
needs_mmdet = pytest.mark.skipif(importlib.util.find_spec('mmdet') is None, reason="needs the extra 'mmdet'")
params = [pytest.param(path, marks=needs_mmdet if 'mask2former' in path.stem else (),
                       id=f'{path.parent.name}-{path.stem}') for path in FILES]


def shrink(node):
    """Widths of the published backbones become those of tiny ones, deep decoders one layer."""
    if isinstance(node, dict):
        return {key: SMALL.get(key, shrink(value)) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return type(node)(shrink(value) for value in node)
    return WIDTH if type(node) is int and node in (384, 768, 2048) else node


def tiny_config(path):
    cfg = Config.fromfile(path)
    model = shrink(cfg.model.to_dict())
    backbone = model['backbone']
    if backbone['type'] == 'leopart_mm.DenseResNet':
        backbone.update(checkpoint=None, depth=18, base_channels=WIDTH // 8, stem_channels=WIDTH // 8)
    else:
        backbone.update(checkpoint=None, model_kwargs=dict(img_size=64, embed_dim=WIDTH, depth=4, num_heads=2),
                        out_indices=tuple(range(4)) if len(backbone.get('out_indices', ())) == 4 else (3, ))
        if 'frozen_stages' in backbone:
            backbone['frozen_stages'] = 4
    model['data_preprocessor']['size'] = (SIDE, SIDE)
    if is_probe(path):
        model['neck']['size'] = (10, 10)
    if path.parent.name == 'fcn':
        model['neck']['eval_size'] = (SIDE, SIDE)
        model['decode_head']['channels'] = 16
    cfg.model = model
    return cfg


def is_probe(path):
    return path.parent.name in ('linear', 'fcn')


def samples(count, height, width, mask_size=None, void=255):
    images, data_samples = [], []
    generator = torch.Generator().manual_seed(0)
    for index in range(count):
        images.append(torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator))
        mask = torch.full((1, *(mask_size or (height, width))), void)
        mask[:, :, 3:] = index + 1
        sample = SegDataSample(metainfo=dict(ori_shape=(height, width), img_shape=(height, width), img_path=f'{index}'))
        sample.gt_sem_seg = PixelData(data=mask)
        data_samples.append(sample)
    return dict(inputs=images, data_samples=data_samples)


@pytest.fixture(autouse=True)
def mmseg_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.mark.parametrize('path', params)
def test_one_step_and_one_prediction(path):
    torch.manual_seed(0)
    cfg = tiny_config(path)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    void = cfg.model['decode_head'].get('ignore_index', 255)
    batch = samples(2, SIDE, SIDE, (10, 10) if is_probe(path) else None, void)
    losses = model.train_step(batch, wrapper)
    assert torch.isfinite(losses['loss'])
    moved = {key.split('.')[0] for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert 'decode_head' in moved
    assert ('backbone' in moved) == (not is_probe(path))

    model.eval()
    # 50 x 70 is no multiple of the patch size
    prediction, = model.test_step(samples(1, 50, 70))
    assert prediction.pred_sem_seg.data.shape == (1, 50, 70)
    classes = 151 if 'ade20k' in path.stem else 21
    assert prediction.seg_logits.data.shape == (classes, 50, 70)
    assert 0 <= prediction.pred_sem_seg.data.min() <= prediction.pred_sem_seg.data.max() < classes


def test_probes_are_the_published_ones():
    for name, channels in (('linear', 384), ('fcn', 512)):
        cfg = Config.fromfile(FOLDER / name / 'vits16_voc.py')
        model = MODELS.build({**cfg.model.to_dict(), 'backbone': {**cfg.model.backbone.to_dict(), 'checkpoint': None}})
        head = model.decode_head
        assert head.conv_seg.weight.shape == (21, channels, 1, 1)
        assert not any(parameter.requires_grad for parameter in model.backbone.parameters())
        assert not model.train().backbone.training or not any(m.training for m in model.backbone.blocks)
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        group = wrapper.optimizer.param_groups[0]
        assert (group['lr'], group['momentum'], group['weight_decay']) == (0.01, 0.9, 1e-4)
        assert cfg.train_cfg.max_epochs == 25
        assert cfg.param_scheduler[0].step_size == 20


def test_decoders_of_another_network_fit():
    """`backbone=` of a ViT with another width and depth: everything in between follows."""
    for name in ('dpt', 'segmenter'):  # whose widths are multiples and parts of the network's
        path = FOLDER / f'decoders/{name}_vits16_voc.py'
        cfg = load_config(path, dict(backbone='timm://vit_tiny_patch16_224.augreg_in21k'))
        cfg.model.backbone.checkpoint = None
        cfg.model.data_preprocessor.size = (SIDE, SIDE)
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        losses = model.train_step(samples(2, SIDE, SIDE), build_optim_wrapper(model, cfg.optim_wrapper))
        assert torch.isfinite(losses['loss']), path
