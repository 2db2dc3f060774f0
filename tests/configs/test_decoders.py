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
from tests.paths import REPO

WIDTH, SIDE = 48, 64
PROBES = ('linear', 'fcn')
DECODERS = (*PROBES, 'upernet', 'setr-pup', 'segmenter', 'dpt', 'mask2former')
FOLDER = REPO / 'configs' / 'leopart'
FILES = {path.stem: path for head in DECODERS for path in FOLDER.glob(f'{head}_*.py')}
FILES.update({path.stem: path for path in (REPO / 'configs/neco/linear').glob('*.py')})
CONFIGS = sorted(FILES)
SMALL = dict(num_layers=1, num_queries=10, num_points=64)
needs_mmdet = pytest.mark.skipif(importlib.util.find_spec('mmdet') is None, reason="needs the extra 'mmdet'")
params = [pytest.param(name, marks=needs_mmdet if name.startswith('mask2former') else ()) for name in CONFIGS]


def shrink(node):
    """Widths of the published backbones become those of tiny ones, deep decoders one layer."""
    if isinstance(node, dict):
        return {key: SMALL.get(key, shrink(value)) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return type(node)(shrink(value) for value in node)
    return WIDTH if type(node) is int and node in (384, 768, 2048) else node


def tiny_config(name):
    cfg = Config.fromfile(FILES[name])
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
    if is_probe(name):
        model['neck']['size'] = (10, 10)
    if name.startswith('fcn'):
        model['neck']['eval_size'] = (SIDE, SIDE)
        model['decode_head']['channels'] = 16
    cfg.model = model
    return cfg


def is_probe(name):
    return name.startswith(PROBES)


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


@pytest.mark.parametrize('name', params)
def test_one_step_and_one_prediction(name):
    torch.manual_seed(0)
    cfg = tiny_config(name)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    void = cfg.model['decode_head'].get('ignore_index', 255)
    batch = samples(2, SIDE, SIDE, (10, 10) if is_probe(name) else None, void)
    losses = model.train_step(batch, wrapper)
    assert torch.isfinite(losses['loss'])
    moved = {key.split('.')[0] for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert 'decode_head' in moved
    assert ('backbone' in moved) == (not is_probe(name))

    model.eval()
    # 50 x 70 is no multiple of the patch size
    prediction, = model.test_step(samples(1, 50, 70))
    assert prediction.pred_sem_seg.data.shape == (1, 50, 70)
    classes = {'voc': 21, 'coco-stuff': 15, 'coco-thing': 12, 'ade20k': 151}[name.rsplit('_', 1)[1]]
    assert prediction.seg_logits.data.shape == (classes, 50, 70)
    assert 0 <= prediction.pred_sem_seg.data.min() <= prediction.pred_sem_seg.data.max() < classes


def test_probes_are_the_published_ones():
    for name, channels in (('linear', 384), ('fcn', 512)):
        cfg = Config.fromfile(FOLDER / f'{name}_leopart-vits16_voc.py')
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


@pytest.mark.parametrize(('name', 'rate'), [('mocov2-r50', 0.1), ('densecl-r50', 0.1), ('maskcontrast-r50', 0.1),
                                            ('swav-r50', 0.01), ('dino-vits16', 0.01)])
def test_rates_of_the_baselines(name, rate):
    assert Config.fromfile(FOLDER / f'linear_{name}_voc.py').optim_wrapper.optimizer.lr == rate


def test_coco_probes_use_a_tenth_of_the_images():
    for data in ('coco-stuff', 'coco-thing'):
        cfg = Config.fromfile(FOLDER / f'linear_leopart-vits16_{data}.py')
        assert cfg.train_dataloader.dataset.num_samples == round(118287 / 10)
        assert cfg.val_dataloader.dataset == cfg.test_dataloader.dataset
        assert cfg.val_dataloader.dataset.get('num_samples') is None
