"""CodeHead: sizes and values come from the weights, and what does not fit is refused."""

import json

import pytest
import torch
import torch.nn.functional as F
from mmengine.runner.checkpoint import load_state_dict

from leopart_mm.checkpoints.conversion import convert_checkpoint
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.models.fitting.networks import network_fingerprint
from leopart_mm.models.necks import CodeHead
from leopart_mm.models.segmentors import UnsupervisedSegmentor
from leopart_mm.registry import MODELS
from tests.checkpoints.code_layouts import code_layers, hp, stego
from tests.models.backbones.builders import TINY

HEAD = code_layers('cluster1', 'cluster2', 10)
MAPS = (torch.randn(3, 32, 4, 6, generator=torch.Generator().manual_seed(0)), )
NO_HIDDEN = {**stego(), 'state_dict': {key: value for key, value in stego()['state_dict'].items()
                                       if 'cluster2' not in key}}


def by_hand(state, first, second):
    """The formula of §13."""
    hidden = F.conv2d(second, state['cluster2.0.weight'], state['cluster2.0.bias']).relu()
    return (F.conv2d(first, state['cluster1.0.weight'], state['cluster1.0.bias'])
            + F.conv2d(hidden, state['cluster2.2.weight'], state['cluster2.2.bias']))


def save(checkpoint, tmp_path, name='stego.ckpt'):
    torch.save(checkpoint, tmp_path / name)
    return str(tmp_path / name)


def ready(*args, **kwargs):
    neck = MODELS.build(dict(type='leopart_mm.CodeHead', checkpoint=args[0], **kwargs))
    neck.init_weights()
    return neck


@pytest.mark.parametrize('checkpoint', [stego(), hp()])
def test_the_code(checkpoint, tmp_path):
    neck = ready(save(checkpoint, tmp_path))
    assert (neck.in_channels, neck.out_channels) == (32, 6)
    assert torch.equal(neck(MAPS)[0], by_hand(HEAD, MAPS[0], MAPS[0]))
    assert not any(parameter.requires_grad for parameter in neck.parameters())
    assert not neck.train().training
    assert [code.dtype for code in neck([MAPS[0].half(), MAPS[0]])] == [torch.float32] * 2
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(neck(MAPS)[0], by_hand_float(MAPS[0]))


def by_hand_float(features):
    with torch.autocast('cpu', enabled=False):
        return by_hand(HEAD, features, features)


def test_hp_has_two_heads():
    average = code_layers('cluster1', 'cluster2', 40)
    assert torch.equal(ready(hp(), ema=True)(MAPS)[0], by_hand(average, MAPS[0], MAPS[0]))
    with pytest.raises(BackboneCheckpointError, match=r'no moving average of its head .*ema=False'):
        CodeHead(stego(), ema=True)


def test_projections():
    neck = ready(NO_HIDDEN)
    torch.testing.assert_close(neck(MAPS)[0], F.conv2d(MAPS[0], HEAD['cluster1.0.weight'], HEAD['cluster1.0.bias']))
    assert torch.equal(ready(stego(), projection='identity')(MAPS)[0], MAPS[0])
    for checkpoint, projection, found in ((NO_HIDDEN, 'nonlinear', 'linear'), (stego(), 'linear', 'nonlinear')):
        with pytest.raises(BackboneCheckpointError, match=f"has projection='{found}', the neck projection"):
            CodeHead(checkpoint, projection=projection)
    with pytest.raises(ValueError, match="projection='mlp' is unknown"):
        CodeHead(stego(), projection='mlp')


def test_dropout_acts_on_whole_channels_and_before_each_layer():
    neck = ready(stego(), dropout=0.25)
    torch.manual_seed(0)
    noisy = neck.eval()(MAPS)[0]
    torch.manual_seed(0)
    scales = (torch.rand(3, 2, 32) >= 0.25).float() / 0.75
    first, second = (MAPS[0] * scales[:, index, :, None, None] for index in range(2))
    assert torch.equal(noisy, by_hand(HEAD, first, second))
    assert torch.equal(neck(MAPS, scales)[0], noisy)
    assert not torch.equal(neck(MAPS)[0], noisy)  # drawn anew
    torch.manual_seed(0)
    single = torch.cat([neck([MAPS[0][index:index + 1]])[0] for index in range(3)])
    torch.testing.assert_close(single, noisy)  # not by batch size
    for dropout in (-0.1, 1.):
        with pytest.raises(ValueError, match=r'must be in \[0, 1\)'):
            CodeHead(stego(), dropout=dropout)


def test_sizes_are_taken_from_the_weights_or_checked(tmp_path):
    path = save(stego(), tmp_path)
    assert CodeHead(path).out_channels == 6  # before they are read: what follows in the model needs it
    with pytest.raises(BackboneCheckpointError, match=r'stego.ckpt has out_channels=6, the neck out_channels=70'):
        CodeHead(path, out_channels=70)
    with pytest.raises(ValueError, match=r'needs checkpoint=FILE of a STEGO or HP run, or in_channels and'):
        CodeHead(in_channels=32)
    with pytest.raises(FileNotFoundError, match=r'It is a folder: name the file in it, such as .*stego\.ckpt'):
        CodeHead(str(tmp_path))
    with pytest.raises(BackboneCheckpointError, match='holds no head of STEGO'):
        CodeHead({'state_dict': {key: value for key, value in stego()['state_dict'].items() if 'net.cl' not in key}})
    neck = CodeHead(path)
    with pytest.raises(RuntimeError, match=r'has not read it yet: call model.init_weights\(\)'):
        neck(MAPS)
    neck.init_weights()
    with pytest.raises(ValueError, match=r'reads 32 channels, but the map has 24: .*stego\.ckpt belongs'):
        neck([torch.zeros(1, 24, 2, 2)])


def model(checkpoint, arch=None, **kwargs):
    neck = dict(type='leopart_mm.CodeHead', checkpoint=checkpoint, **kwargs)
    return UnsupervisedSegmentor(
        backbone={**dict(type='leopart_mm.DenseViT', model_kwargs=TINY), **(arch or {})}, neck=neck,
        decode_head=dict(type='leopart_mm.OverclusterHead', num_clusters=2, seeds=1, pca_dim=None)).eval()


@pytest.mark.parametrize('ema', [False, True])
def test_our_checkpoints_load_where_the_file_is_not(ema, tmp_path):
    path = save(hp(), tmp_path)
    source = model(path, ema=ema, arch=dict(checkpoint=path))
    source.init_weights()
    state = source.state_dict()
    (tmp_path / 'stego.ckpt').unlink()
    again = model(path, ema=ema, arch=dict(checkpoint=path))
    assert again.neck.out_channels is None
    with pytest.raises(FileNotFoundError, match=r'stego\.ckpt'):
        again.neck.init_weights()
    load_state_dict(again, state)
    assert again.neck.out_channels == 6
    images = torch.randn(2, 3, 32, 40)
    assert torch.equal(again.extract_feat(images)[0], source.extract_feat(images)[0])
    assert network_fingerprint(again.neck) == network_fingerprint(source.neck)
    with pytest.raises(BackboneCheckpointError, match=rf"has no 'neck.{'head' if ema else 'ema'}.* set ema={ema}"):
        load_state_dict(model(None, ema=not ema, in_channels=32, out_channels=6), state)
    with pytest.raises(BackboneCheckpointError, match=r'has out_channels=6, the neck out_channels=7: change the neck'):
        load_state_dict(model(None, ema=ema, in_channels=32, out_channels=7), state)
    plain = {key: value for key, value in state.items() if not key.startswith('neck.')}
    with pytest.raises(BackboneCheckpointError, match='it is no checkpoint of this model; name the file of a STEGO'):
        load_state_dict(again, plain)


@pytest.mark.filterwarnings('ignore:.*no-op')  # nothing is copied to meta tensors
def test_layers_are_built_where_the_model_is(tmp_path):
    neck = CodeHead(str(tmp_path / 'not_here.ckpt')).to('meta')  # as MMEngine moves models before it loads them
    neck.load_state_dict(ready(stego()).state_dict(), assign=False)
    assert {parameter.device.type for parameter in neck.parameters()} == {'meta'}


def test_a_damaged_head_is_refused():
    segmentor = model(stego())
    for change in (lambda value: None, lambda value: value[:3]):
        state = segmentor.state_dict()
        state['neck.head.cluster2.2.bias'] = change(state['neck.head.cluster2.2.bias'])
        with pytest.raises(BackboneCheckpointError, match=r'lacks neck\.head\.cluster2\.2\.bias of the code head, or'):
            load_state_dict(model(None, in_channels=32, out_channels=6),
                            {key: value for key, value in state.items() if value is not None})


def test_one_of_the_heads_of_a_converted_file():
    state = convert_checkpoint(hp(), 'leopart_mm').checkpoint['state_dict']
    for ema in (False, True):
        segmentor = model(None, ema=ema, in_channels=32, out_channels=6)
        load_state_dict(segmentor, {
            key: value for key, value in state.items() if key.startswith(('backbone.', 'neck.'))})
        assert torch.equal(segmentor.neck(MAPS)[0], ready(hp(), ema=ema)(MAPS)[0])


def test_a_head_of_another_backbone(tmp_path):
    vit = dict(img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=2)
    with pytest.raises(ValueError, match=r'reads 32 channels, but the backbone gives 24: the given state dict belongs'):
        model(stego(), arch=dict(model_kwargs=vit)).init_weights()
    path = tmp_path / 'hp.json'
    options = dict(model=dict(pretrained=dict(dino_feat_type='KK', projection_type='nonlinear'), dim=6))
    path.write_text(json.dumps(options))
    with pytest.raises(ValueError, match=r"trained on keys of the last block .*set features='keys' in the backbone"):
        model(hp(), options=str(path)).init_weights()
    model(hp(), options=str(path), arch=dict(features='keys')).init_weights()
    options['model']['dim'] = 7
    path.write_text(json.dumps(options))
    with pytest.raises(ValueError, match=r'holds a code head with dim 6, but .*hp.json says 7: name the files of one'):
        CodeHead(hp(), options=str(path)).init_weights()
    with pytest.raises(ValueError, match="with projection 'nonlinear', but its hyper_parameters says 'identity'"):
        CodeHead(stego(cfg=dict(projection_type=None))).init_weights()
