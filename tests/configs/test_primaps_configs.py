"""PriMaPs' configs: each is what its name says, agrees with its initialisation, and takes a step on tiny data."""

import re

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from leopart_mm.engine.config import load_config
from leopart_mm.registry import MODELS
from tests.paths import REPO

FOLDER = REPO / 'configs' / 'primaps'
LOADED = {path.stem: load_config(path) for path in sorted(FOLDER.glob('*.py'))}
PUBLISHED = [name for name in LOADED if 'folder' not in name]
DATA = {'cityscapes27': ('Cityscapes27', 27, 'data/cityscapes'), 'coco-stuff27': ('COCOStuff27', 27, 'data/coco'),
        'potsdam3': ('Potsdam3', 3, 'data/potsdam3')}
PAIRS = {'momentum': 'hungarian_pixels', 'momentum_crf': 'hungarian_pixels', 'running': 'hungarian_pixels',
         'running_crf': 'hungarian_pixels', 'linear': 'direct'}


def parts(name):
    """'primaps_dino-vits8_potsdam3' -> method, system, 's' or 'b', patch, data, rest."""
    pattern = r'(primaps|baseline)_(dino|dinov2|stego|hp)-vit(s|b)(\d+)_([a-z0-9-]+)(?:_(\w+))?'
    return re.fullmatch(pattern, name).groups()


def step(pipeline, kind):
    return next((item for item in pipeline if item['type'].rpartition('.')[2] == kind), None)


@pytest.mark.parametrize('name', PUBLISHED)
def test_config_is_what_its_name_says(name):
    _, system, size, patch, data, rest = parts(name)
    cfg, model = LOADED[name], LOADED[name].model
    kind, classes, root = DATA[data]
    arch = {'s': 'small', 'b': 'base'}[size]
    assert model.backbone.arch == f'vit_{arch}_patch{patch}_{"dinov2" if system == "dinov2" else "224"}'
    assert (model.get('neck') or {}).get('type') == ('leopart_mm.CodeHead' if system in ('stego', 'hp') else None)
    assert model.decode_head.num_prototypes == cfg.num_classes == classes
    assert cfg.train_dataloader.dataset.type == cfg.test_dataloader.dataset.type == f'leopart_mm.{kind}'
    assert cfg.train_dataloader.dataset.data_root == root
    side = 322 if patch == '14' else 320
    for loader in filter(None, (cfg.train_dataloader, cfg.test_dataloader, cfg.proposal_dataloader)):
        steps = loader.dataset.pipeline
        assert step(steps, 'ResizeShorterSide')['size'] == step(steps, 'CentreCrop')['size'] == side
        method_of_resize = step(steps, 'ResizeShorterSide')['method']
        tested = 'aliased' if rest == 'published' else 'float'
        assert method_of_resize == (tested if loader is cfg.test_dataloader else 'pillow')
    assert cfg.train_cfg.max_epochs == cfg.epochs == 50
    assert cfg.model.cache == 'auto'
    assert (cfg.train_dataloader.batch_size, cfg.test_dataloader.batch_size) == (32, 16)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('Adam', 5e-3, 0)
    assert {metric.prefix: metric.matching for metric in cfg.test_evaluator} == PAIRS
    assert all(metric.field == f'pred_{metric.prefix}' for metric in cfg.test_evaluator)
    assert [metric.prefix for metric in cfg.val_evaluator] == ['momentum', 'running', 'linear']


@pytest.mark.parametrize('name', PUBLISHED)
def test_em_and_baseline_have_their_objectives(name):
    cfg, (method, system, *_) = LOADED[name], parts(name)
    pipeline = cfg.train_dataloader.dataset.pipeline
    if method == 'baseline':
        assert cfg.model.objective == dict(type='leopart_mm.CosineKMeans')
        assert step(pipeline, 'LoadProposals') is None
        assert cfg.get('proposal_dataloader') is None
        return
    objective = cfg.model.objective
    assert (objective.gamma, objective.ema_decay, objective.ema_interval) == (2, 0.98, 10)
    assert cfg.proposals.threshold == 0.4
    assert step(pipeline, 'LoadProposals')['folder'] == cfg.proposal_folder
    if system in ('stego', 'hp'):
        assert cfg.initialisation is None
        assert cfg.load_from == cfg.model.backbone.checkpoint == cfg.model.neck.checkpoint
        return
    first = LOADED[cfg.initialisation.removesuffix('.py')]
    assert parts(cfg.initialisation.removesuffix('.py'))[1:5] == parts(name)[1:5]
    assert cfg.init_epochs == 2
    for key in ('backbone', 'decode_head', 'data_preprocessor'):
        assert first.model[key] == cfg.model[key]
    assert first.train_dataloader.dataset.data_root == cfg.train_dataloader.dataset.data_root


def test_published_behaviour_is_one_config():
    cfg = LOADED['primaps_dino-vits8_cityscapes27_published']
    assert (cfg.proposals.orientation, cfg.proposals.anchor, cfg.proposals.no_mask, cfg.proposals.erased,
            cfg.proposals.single_background, cfg.proposals.max_masks) == ('library', 'any', 'nan', 'nan', 'rows', None)
    assert cfg.proposals.crf.bytes == cfg.model.postprocessors.crf.bytes == 'truncate'
    assert not cfg.model.student_augmentation.before_normalize
    assert cfg.model.objective.divisor == cfg.model.probe_divisor == 'all'
    assert cfg.default_hooks.checkpoint.save_best == 'momentum/mIoU_defined'
    assert not LOADED['primaps_dino-vits8_cityscapes27'].default_hooks.checkpoint.get('save_best')
    first = LOADED[cfg.initialisation.removesuffix('.py')]
    assert step(first.custom_hooks, 'PrototypeHook')['num_batches'] == 93
    assert first.model.probe_divisor == 'all'
    assert first.model.postprocessors.crf.bytes == 'truncate'


@pytest.mark.parametrize('name', LOADED)
def test_the_length_is_a_variable(name):
    longer = load_config(FOLDER / f'{name}.py', dict(epochs=7))
    assert (longer.epochs, longer.train_cfg.max_epochs) == (7, 7)
    assert longer.param_scheduler == []


def tiny(cfg):
    """The config's model on a backbone of two narrow blocks, without a file."""
    model = cfg.model.to_dict()
    model['backbone'].update(arch='vit_tiny_patch16_224', checkpoint=None, model_kwargs=dict(
        img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2))
    if model.get('neck'):
        model['neck'].update(checkpoint=None, in_channels=16, out_channels=12)
    if 'crf' in (model.get('postprocessors') or {}):
        model['postprocessors']['crf']['iterations'] = 1
    return model


KINDS = {repr(tiny(cfg)): name for name, cfg in LOADED.items()}


def batch(model, count=2, side=32):
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for index in range(count):
        inputs.append(torch.randint(0, 256, (3, side, side), dtype=torch.uint8, generator=generator))
        sample = SegDataSample(metainfo=dict(img_path=f'{index}.png', ori_shape=(side, side), img_shape=(side, side)))
        labels = torch.full((1, side, side), 255)
        labels[:, :, :side // 2], labels[:, 4:, side // 2:] = 0, index + 1
        sample.set_field(PixelData(data=torch.where(labels == 255, 255, labels + 1)), 'proposals')
        if model.get('linear_probe'):
            sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


@pytest.mark.parametrize('name', KINDS.values())
def test_tiny_model_takes_a_step_and_predicts(name):
    cfg = LOADED[name]
    torch.manual_seed(0)
    init_default_scope('mmseg')
    settings = tiny(cfg)
    model = MODELS.build(settings)
    model.init_weights()
    model.train()
    before = {key: value.clone() for key, value in model.named_parameters()}
    logs = model.train_step(batch(settings), build_optim_wrapper(model, cfg.optim_wrapper))
    assert torch.isfinite(logs['loss'])
    moved = {key.split('.')[0] for key, value in model.named_parameters() if not torch.equal(value, before[key])}
    assert moved == {'decode_head'} | {'linear_probe'} & set(dict(model.named_children()))
    model.decode_head.set_prototypes(torch.randn(cfg.num_classes, 12 if settings.get('neck') else 16))
    model.eval()
    for sample in model.test_step(batch(settings)):
        assert {metric.field for metric in cfg.test_evaluator} <= set(sample.keys())
        assert sample.pred_sem_seg.data.shape == (1, 32, 32)
        assert (sample.pred_sem_seg.data == sample.pred_momentum_crf.data).all()
        assert 0 <= sample.pred_sem_seg.data.min() <= sample.pred_sem_seg.data.max() < cfg.num_classes
    for sample in model.val_step(batch(settings)):
        assert {metric.field for metric in cfg.get('val_evaluator') or ()} <= set(sample.keys())
        assert 'pred_momentum_crf' not in sample
        assert (sample.pred_sem_seg.data == sample.pred_momentum.data).all()
    assert list(model.postprocessors) == ['crf']
