"""DenseResNet against torchvision, and checkpoints of the published baselines' layouts."""

from types import SimpleNamespace

import pytest
import torch
import torchvision

from leopart_mm.engine.hooks import BackboneCheckpointHook, ResNetCheckpointHook
from leopart_mm.models.backbones import BackboneCheckpointError, DenseResNet
from leopart_mm.registry import MODELS


def reference():
    """torchvision's ResNet-50 with stride 16, random statistics included."""
    torch.manual_seed(0)
    net = torchvision.models.resnet50(weights=None, replace_stride_with_dilation=[False, False, True]).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net


def torchvision_map(net, image):
    x = net.maxpool(net.relu(net.bn1(net.conv1(image))))
    return net.layer4(net.layer3(net.layer2(net.layer1(x))))


@pytest.fixture(scope='module')
def source():
    return reference()


@pytest.fixture(scope='module')
def state(source):
    return source.state_dict()


def prefixed(state, prefix, **other):
    return {**{prefix + key: value for key, value in state.items() if not key.startswith('fc.')}, **other}


def test_equals_torchvision(source, state, tmp_path):
    torch.save(state, tmp_path / 'resnet50.pth')
    net = MODELS.build(dict(type='leopart_mm.DenseResNet', checkpoint=str(tmp_path / 'resnet50.pth')))
    with pytest.raises(RuntimeError, match='has not read it yet'):
        net(torch.zeros(1, 3, 32, 32))
    net.init_weights()
    net.eval()
    image = torch.randn(2, 3, 64, 40, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = torchvision_map(source, image)
        torch.testing.assert_close(net(image)[0], expected)
        features = net.forward_dense(image)
    assert expected.shape == (2, 2048, 4, 3)
    assert (net.embed_dims, net.patch_size, features.grid) == (2048, 16, (4, 3))
    torch.testing.assert_close(features.maps[0], expected)


def test_strides_and_stages():
    assert DenseResNet(18, output_stride=32)(torch.zeros(1, 3, 64, 64))[0].shape == (1, 512, 2, 2)
    maps = DenseResNet(18, output_stride=8, out_indices=(1, 3))(torch.zeros(1, 3, 64, 64))
    assert [tuple(feature_map.shape[1:]) for feature_map in maps] == [(128, 8, 8), (512, 8, 8)]
    with pytest.raises(ValueError, match='output_stride=4'):
        DenseResNet(output_stride=4)
    for asked in (dict(cls_attention=True), dict(qkv_block=0), dict(class_query_block=0)):
        with pytest.raises(ValueError, match='no attention'):
            DenseResNet(18).forward_dense(torch.zeros(1, 3, 32, 32), **asked)
    bare = DenseResNet(18).forward_dense(torch.zeros(1, 3, 32, 48), ())
    assert (bare.maps, bare.grid) == ((), (2, 3))


@pytest.mark.parametrize('layout', ['densecl', 'swav', 'mocov2', 'maskcontrast', 'mm', 'old'])
def test_published_layouts(state, layout):
    other = {key: value + 1 for key, value in state.items()}
    queue = torch.zeros(128, 10)
    files = dict(
        densecl=dict(state_dict=prefixed(state, ''), meta=dict(epoch=1)),
        swav=prefixed(state, 'module.', **{'module.prototypes.weight': queue, 'module.projection_head.0.bias': queue}),
        mocov2=dict(arch='resnet50', state_dict=prefixed(state, 'module.encoder_q.', **{'module.queue': queue},
                                                         **prefixed(other, 'module.encoder_k.'))),
        maskcontrast=dict(model=prefixed(state, 'module.model_q.backbone.', **prefixed(
            other, 'module.model_k.backbone.'), **{'module.model_q.decoder.0.weight': queue})),
        mm=dict(state_dict=prefixed(state, 'backbone.', **{'head.fc.weight': queue})),
        old={key: value for key, value in state.items() if not key.endswith('num_batches_tracked')})
    net = DenseResNet(50)
    net.load_pretrained(files[layout])
    for key in ('conv1.weight', 'layer4.2.conv3.weight', 'layer3.0.downsample.1.running_var', 'bn1.bias'):
        assert torch.equal(net.state_dict()[key], state[key])


def test_wrong_files_are_refused(state):
    net = DenseResNet(18)
    with pytest.raises(BackboneCheckpointError, match='holds no ResNet'):
        net.load_pretrained({'blocks.0.attn.qkv.weight': torch.zeros(3)})
    with pytest.raises(BackboneCheckpointError,
                       match=r'does not fit the backbone ResNet-18.*Other shape.*Not in this backbone.*Change depth'):
        net.load_pretrained(state)
    both = {**prefixed(state, 'a.'), **prefixed(state, 'b.')}
    with pytest.raises(BackboneCheckpointError, match=r"'a.', 'b.'; more than one fits. Set checkpoint_key"):
        DenseResNet(50).load_pretrained(both)
    DenseResNet(50).load_pretrained(both, key='b')
    with pytest.raises(BackboneCheckpointError, match='BackboneCheckpointHook'):
        torch.nn.ModuleDict(dict(backbone=net)).load_state_dict({'fc.weight': torch.zeros(1)}, strict=False)


@pytest.mark.parametrize('hook', [BackboneCheckpointHook, ResNetCheckpointHook])  # the second is its old name
def test_a_resnet_file_as_checkpoint_of_a_whole_model(state, hook):
    model = torch.nn.ModuleDict(dict(backbone=DenseResNet(50), head=torch.nn.Linear(2, 2)))
    checkpoint = prefixed(state, 'module.')
    hook().after_load_checkpoint(SimpleNamespace(model=model), checkpoint)
    model.load_state_dict(checkpoint['state_dict'], strict=False)
    assert torch.equal(model['backbone'].conv1.weight, state['conv1.weight'])
    complete = dict(state_dict={**model.state_dict(), 'backbone.conv1.weight': torch.zeros_like(state['conv1.weight'])})
    hook().after_load_checkpoint(SimpleNamespace(model=model), complete)
    assert not complete['state_dict']['backbone.conv1.weight'].any()


def test_weights_for_other_bands(state):
    """As for ViTs: RGB filters are repeated and scaled."""
    net = DenseResNet(50, in_channels=4)
    report = net.load_pretrained(state)
    assert report.reshaped == ['first convolution adapted from 3 to 4 bands']
    torch.testing.assert_close(net.conv1.weight[:, 3], state['conv1.weight'][:, 0] * 0.75)
