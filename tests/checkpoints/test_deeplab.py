"""Released networks of MaskDistill, and MoCo's ResNets, in the layouts of docs/methods/maskdistill.md §16."""

import pytest
import torch
import torchvision
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import load_state_dict

from leopart_mm.checkpoints.deeplab import deeplab_to_ours, is_deeplab
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.models.backbones import DenseResNet
from leopart_mm.registry import MODELS

CLASSES = 4


def build(**head):
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(dict(
            type='leopart_mm.PostprocessedEncoderDecoder',
            backbone=dict(type='leopart_mm.DenseResNet', depth=18, base_channels=8, stem_channels=8, output_stride=8,
                          norm_eval=False),
            decode_head=dict(type='leopart_mm.DeepLabHead', in_channels=64, channels=6, num_classes=CLASSES, **head),
            train_cfg=dict(), test_cfg=dict(mode='whole')))


@pytest.fixture(scope='module')
def released():
    """Numbers under the published names, which are torchvision's behind `backbone.` and `head.`."""
    state = build().state_dict()
    generator = torch.Generator().manual_seed(1)
    return {key.replace('decode_head.layers.', 'head.'): torch.rand(value.shape, generator=generator).to(value.dtype)
            for key, value in state.items()}


def layouts(released):
    wrapped = {f'module.{key}': value for key, value in released.items()}
    old = {key: value for key, value in wrapped.items() if not key.endswith('num_batches_tracked')}
    training = dict(optimizer=dict(state={0: dict(momentum_buffer=torch.ones(3))}), model=wrapped, epoch=45,
                    best_epoch=3, best_iou=0.4)
    return dict(model=wrapped, best_model=released, old=old, checkpoint=training,
                in_state_dict=dict(state_dict=wrapped))


def test_published_names_are_these(released):
    for name in ('backbone.conv1.weight', 'backbone.layer4.0.downsample.1.running_mean', 'head.0.convs.0.1.bias',
                 'head.0.convs.4.2.running_var', 'head.0.project.0.weight', 'head.1.weight', 'head.2.bias',
                 'head.4.bias'):
        assert name in released


@pytest.mark.parametrize('layout', ['model', 'best_model', 'old', 'checkpoint', 'in_state_dict'])
@pytest.mark.parametrize('loader', ['torch', 'mmengine'])
def test_every_layout_loads_whole(released, layout, loader):
    model = build()
    content = layouts(released)[layout]
    assert is_deeplab(content)
    content = content.get('state_dict', content)
    if loader == 'torch':  # strictly, as the inferencer does
        model.load_state_dict(content)
    else:
        load_state_dict(model, content, strict=True)
    state = model.state_dict()
    for key, value in released.items():
        ours = state[key.replace('head.', 'decode_head.layers.', 1) if key.startswith('head.') else key]
        assert torch.equal(ours, torch.zeros_like(value) if 'num_batches' in key and layout == 'old' else value), key


def test_our_own_checkpoints_pass_untouched(released):
    model, other = build(), build()
    assert not is_deeplab(model.state_dict())
    other.load_state_dict(model.state_dict())
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in model.state_dict().items())


def test_what_does_not_fit_is_named(released):
    model = build()
    without = {key: value for key, value in released.items() if key != 'head.1.weight'}
    with pytest.raises(BackboneCheckpointError, match=r'layers\.1\.weight missing instead of'):
        model.load_state_dict(without, strict=False)
    with pytest.raises(BackboneCheckpointError, match=r'aux\.weight has no place'):
        load_state_dict(model, {**released, 'aux.weight': torch.ones(2)}, strict=False)
    shapes = {key: (21, *value.shape[1:]) if key.startswith('decode_head.layers.4') else tuple(value.shape)
              for key, value in model.state_dict().items()}
    with pytest.raises(BackboneCheckpointError, match=r'with 4 classes that does not fit .*num_classes=4'):
        deeplab_to_ours(released, shapes, 'model.pth.tar')


@pytest.mark.parametrize('root', ['module.encoder_q.', 'module.base_encoder.'])
def test_moco_files_of_every_version(root, tmp_path):
    """The encoder is taken, not its momentum copy, queue, predictor or head."""
    state = torchvision.models.resnet50(weights=None).state_dict()
    body = {key: value for key, value in state.items() if not key.startswith('fc.')}
    momentum = 'module.encoder_k.' if 'encoder_q' in root else 'module.momentum_encoder.'
    file = dict(epoch=800, arch='resnet50', optimizer=dict(state={}), state_dict={
        **{root + key: value for key, value in body.items()},
        **{momentum + key: value + 1 for key, value in body.items()},
        f'{root}fc.0.weight': torch.ones(2, 2), f'{momentum}fc.0.weight': torch.ones(2, 2),
        'module.queue': torch.ones(4, 4), 'module.predictor.0.weight': torch.ones(2, 2)})
    torch.save(file, tmp_path / 'moco.pth.tar')
    net = DenseResNet(50, output_stride=8, checkpoint=str(tmp_path / 'moco.pth.tar'))
    net.init_weights()
    found = net.state_dict()
    assert found.keys() == body.keys()
    assert all(torch.equal(found[key], value) for key, value in body.items())
    del file['state_dict'][f'{root}layer3.2.bn1.bias']
    torch.save(file, tmp_path / 'moco.pth.tar')
    with pytest.raises(BackboneCheckpointError, match=r'layer3\.2\.bn1\.bias'):
        DenseResNet(50, output_stride=8).load_pretrained(str(tmp_path / 'moco.pth.tar'))
