"""DenseViT inside mmseg's EncoderDecoder, and backbone files loaded as the checkpoint of a whole model."""

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner, load_checkpoint
from mmengine.structures import PixelData
from mmseg.apis import MMSegInferencer
from mmseg.models import build_segmentor
from mmseg.registry import MODELS as MMSEG_MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules
from torch import nn

from leopart_mm.models.backbones import BackboneCheckpointError
from tests.checkpoints.layouts import LAYOUTS, mmseg, ours
from tests.models.backbones.builders import TINY, tiny_vit

IMAGE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
BACKBONE = dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224', model_kwargs=TINY)
FCN = dict(type='FCNHead', in_channels=32, channels=8, num_convs=1, num_classes=5, norm_cfg=dict(type='BN'),
           loss_decode=dict(type='CrossEntropyLoss'))


@pytest.fixture(autouse=True)
def mmseg_scope():
    register_all_modules(init_default_scope=True)


def segmentor(backbone=None, head=None):
    torch.manual_seed(0)
    return build_segmentor(dict(type='EncoderDecoder', backbone={**BACKBONE, **(backbone or {})},
                                decode_head={**FCN, **(head or {})}, train_cfg={}, test_cfg=ConfigDict(mode='whole'),
                                data_preprocessor=dict(type='SegDataPreProcessor', size=(32, 32))))


def samples():
    labels = torch.randint(0, 5, (2, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    return [SegDataSample(gt_sem_seg=PixelData(data=label), metainfo=dict(img_shape=(32, 32), ori_shape=(32, 32)))
            for label in labels]


@pytest.mark.parametrize('autocast', [False, True])
def test_one_training_step_under_an_fcn_head(autocast):
    model = segmentor().train()
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        losses = model.loss(IMAGE, samples())
    losses['decode.loss_ce'].backward()
    assert torch.isfinite(losses['decode.loss_ce'])
    assert all(parameter.grad is not None for parameter in model.backbone.parameters())
    assert model.eval().predict(IMAGE, samples())[0].pred_sem_seg.data.shape == (1, 32, 32)


def test_multi_level_head():
    head = dict(type='UPerHead', in_channels=[32] * 3, in_index=[0, 1, 2], pool_scales=(1, 2), num_convs=None)
    head = {key: value for key, value in {**FCN, **head}.items() if value is not None}
    model = build_segmentor(dict(type='EncoderDecoder', backbone={**BACKBONE, 'out_indices': (0, 1, 2)},
                                 decode_head=head, train_cfg={}, test_cfg=ConfigDict(mode='whole'))).train()
    losses = model.loss(IMAGE, samples())
    losses['decode.loss_ce'].backward()
    assert model.backbone.blocks[0].attn.qkv.weight.grad.abs().sum() > 0


def test_layer_decay_constructor():
    wrapper = build_optim_wrapper(segmentor(), ConfigDict(dict(
        type='OptimWrapper', constructor='leopart_mm.LayerDecayConstructor',
        optimizer=dict(type='AdamW', lr=1., weight_decay=0.1), paramwise_cfg=dict(layer_decay_rate=0.5))))
    rates = {group['param_name']: group['lr'] for group in wrapper.optimizer.param_groups}
    assert rates['backbone.pos_embed'] == 0.5**4
    assert rates['backbone.blocks.0.norm1.weight'] == 0.5**3
    assert rates['backbone.norm.weight'] == rates['backbone.blocks.2.norm1.weight'] == 0.5  # as in timm
    assert rates['decode_head.conv_seg.weight'] == 1.


HOOK = dict(type='leopart_mm.BackboneCheckpointHook')


def make_runner(model, tmp_path, checkpoint, hooks=(HOOK, )):
    counter = len(list(tmp_path.iterdir()))
    return Runner(model, work_dir=str(tmp_path / f'run{counter}'), load_from=checkpoint, log_level='ERROR',
                  default_scope='mmseg', custom_hooks=list(hooks), experiment_name=f'{tmp_path.name}_{counter}')


def save(obj, tmp_path):
    torch.save(obj, tmp_path / 'weights.pth')
    return str(tmp_path / 'weights.pth')


@pytest.mark.parametrize('layout', LAYOUTS)
def test_the_runner_loads_any_backbone_file_as_the_models_checkpoint(layout, tmp_path):
    source, model = tiny_vit(), segmentor()
    runner = make_runner(model, tmp_path, save(LAYOUTS[layout](source.state_dict()), tmp_path))
    runner.load_or_resume()
    if layout == 'half':
        source = source.half().float()
    assert torch.equal(model.backbone.eval()(IMAGE)[0], source(IMAGE)[0])


def test_the_models_own_checkpoint_passes_the_hook_untouched(tmp_path):
    saved, model = segmentor(), segmentor()
    with torch.no_grad():
        for parameter in saved.parameters():
            parameter.normal_()
    make_runner(model, tmp_path, save(dict(state_dict=saved.state_dict(), meta={}), tmp_path)).load_or_resume()
    for (name, ours_), theirs in zip(model.state_dict().items(), saved.state_dict().values(), strict=True):
        assert torch.equal(ours_, theirs), name


def test_the_hook_takes_the_teacher_of_a_training_checkpoint(tmp_path):
    source, model = tiny_vit(), segmentor()
    path = save(ours(source.state_dict()), tmp_path)
    make_runner(model, tmp_path, path).load_or_resume()
    assert torch.equal(model.backbone.cls_token, source.cls_token)
    make_runner(model, tmp_path, path, [dict(HOOK, which='teacher')]).load_or_resume()
    assert torch.equal(model.backbone.cls_token, source.cls_token + 1)


class StudentTeacher(nn.Module):

    def __init__(self):
        super().__init__()
        self.backbone = tiny_vit(seed=1)
        self.teacher = nn.ModuleDict(dict(backbone=tiny_vit(seed=2)))
        self.head = nn.Linear(32, 7, bias=False)


@pytest.mark.parametrize('layout', ['dino_full', 'timm', 'leopart_lightning'])
def test_a_backbone_file_fills_student_and_teacher(layout, tmp_path):
    source, model = tiny_vit(), StudentTeacher()
    weight = model.head.weight.clone()
    make_runner(model, tmp_path, save(LAYOUTS[layout](source.state_dict()), tmp_path)).load_or_resume()
    for vit in (model.backbone, model.teacher.backbone):
        assert torch.equal(vit(IMAGE)[0], source(IMAGE)[0])
    assert torch.equal(model.head.weight, weight)  # the file's classifier has the same name and shape


def test_without_the_hook_a_foreign_file_is_refused_and_the_hook_named(tmp_path):
    path = save(tiny_vit().state_dict(), tmp_path)
    with pytest.raises(BackboneCheckpointError, match=r"no key 'backbone\.\*'.*BackboneCheckpointHook"):
        make_runner(segmentor(), tmp_path, path, hooks=()).load_or_resume()


def test_mmengines_non_strict_loading_refuses_a_part(tmp_path):
    model = segmentor()
    state = {key: value for key, value in model.state_dict().items() if 'blocks.1.' not in key}
    with pytest.raises(BackboneCheckpointError, match=r'Missing \(12\): blocks.1.norm1.weight'):
        load_checkpoint(model, save(dict(state_dict=state), tmp_path), map_location='cpu')


def test_an_mmseg_vit_checkpoint_is_converted_in_place(tmp_path):
    source, model = tiny_vit(), segmentor()
    load_checkpoint(model, save(mmseg(source.state_dict()), tmp_path), map_location='cpu')
    assert torch.equal(model.backbone.eval()(IMAGE)[0], source(IMAGE)[0])


def test_ddp_prefix(tmp_path):
    saved, model = segmentor(), segmentor()
    state = {f'module.{key}': value + 1 for key, value in saved.state_dict().items()}
    load_checkpoint(model, save(dict(state_dict=state), tmp_path), map_location='cpu')
    assert torch.equal(model.backbone.cls_token, saved.backbone.cls_token + 1)


def test_pretrained_init_cfg(tmp_path):
    source = tiny_vit()
    for layout in ('moco_v3', 'dino_full', 'mmpretrain'):
        path = save(LAYOUTS[layout](source.state_dict()), tmp_path)
        vit = MMSEG_MODELS.build(dict(BACKBONE, init_cfg=dict(type='Pretrained', checkpoint=path))).eval()
        vit.init_weights()
        assert torch.equal(vit(IMAGE)[0], source(IMAGE)[0])


def test_init_weights_of_the_whole_model_reads_the_backbones_checkpoint(tmp_path):
    source = tiny_vit()
    model = segmentor(backbone=dict(checkpoint=save(LAYOUTS['mae'](source.state_dict()), tmp_path)))
    model.init_weights()
    assert torch.equal(model.backbone.eval()(IMAGE)[0], source(IMAGE)[0])


def test_mmsegs_inferencer_runs_it_at_any_size(tmp_path):
    config = Config(dict(
        default_scope='mmseg',
        model=dict(type='EncoderDecoder', backbone=dict(BACKBONE), decode_head=dict(FCN), train_cfg=dict(),
                   test_cfg=dict(mode='whole'), data_preprocessor=dict(type='SegDataPreProcessor', size_divisor=8)),
        test_dataloader=dict(dataset=dict(pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')])),
        visualizer=dict(type='SegLocalVisualizer', vis_backends=[], name=tmp_path.name)))
    config.dump(tmp_path / 'config.py')
    names = [str(number) for number in range(5)]
    path = save(dict(state_dict=segmentor().state_dict(), meta=dict(dataset_meta=dict(
        classes=names, palette=[[number] * 3 for number in range(5)]))), tmp_path)
    inferencer = MMSegInferencer(str(tmp_path / 'config.py'), path, device='cpu')
    for shape in ((32, 32, 3), (45, 30, 3)):
        prediction = inferencer(np.zeros(shape, np.uint8))['predictions']
        assert prediction.shape == shape[:2]
