"""Layouts are recognised by what only they have, and heads are found beside backbones of any layout."""

import pytest
import timm
import torch

from leopart_mm.checkpoints.conversion import TARGETS, FileLayout, convert_checkpoint
from leopart_mm.checkpoints.key_layouts import HEAD_LAYOUTS, LEOPART_HEADS, HeadLayout
from leopart_mm.checkpoints.networks import RESNET, find_network, read_networks
from leopart_mm.checkpoints.transformers_config import arch_of_folder
from leopart_mm.models.backbones import BackboneCheckpointError, DenseViT
from tests.checkpoints.layouts import LAYOUTS, chunked, dinov2, prefixed
from tests.models.backbones.builders import TINY, tiny_vit

PLAIN = tiny_vit().state_dict()
V2 = tiny_vit('vit_small_patch14_dinov2').state_dict()


@pytest.mark.parametrize(('checkpoint', 'name'), [
    (LAYOUTS['mae'](PLAIN), 'MAE'),
    (LAYOUTS['dino_full'](PLAIN), 'timm'),  # below the teacher's backbone nothing but timm's names is left
    ({**PLAIN, 'head.last_layer.weight_v': torch.zeros(1)}, 'DINO'),
    (LAYOUTS['ibot'](PLAIN), 'DINO'),
    (LAYOUTS['timm'](PLAIN), 'timm'),
    (LAYOUTS['mmseg'](PLAIN), 'mmseg'),
    (LAYOUTS['mmpretrain'](V2), 'MMPretrain'),
    (dinov2(V2), 'DINOv2'),
    (chunked(V2), 'DINOv2'),
    ({(f'fc_{key}' if key.startswith('norm.') else key): value for key, value in PLAIN.items()},
     'timm with pooling before the norm'),
])
def test_the_name_of_a_layout(checkpoint, name):
    assert read_networks(checkpoint)['student'].layout == name


AXIAL, DEIT = 'vit_small_patch16_rope_ape_224', 'deit3_small_patch16_224'


@torch.no_grad()
def test_deit3_and_rope_vit_share_their_keys_so_the_arch_must_tell(tmp_path):
    rope, deit, image = tiny_vit(AXIAL), tiny_vit(DEIT), torch.randn(1, 3, 32, 32)
    state = rope.state_dict()
    ls = {key.replace('gamma_1', 'ls1.gamma').replace('gamma_2', 'ls2.gamma'): value for key, value in state.items()}
    assert {key: value.shape for key, value in ls.items()} == {
        key: value.shape for key, value in deit.state_dict().items()}
    with pytest.raises(BackboneCheckpointError, match=rf'x\.pth holds a DeiT-3, or .*--arch {DEIT} or --arch {AXIAL},'):
        convert_checkpoint(state, 'timm', name='x.pth')
    for arch, expected in ((AXIAL, state), (f'{DEIT}.fb_in1k', ls)):
        assert convert_checkpoint(state, 'timm', arch=arch).checkpoint.keys() == expected.keys()
    with pytest.raises(BackboneCheckpointError, match="timm has no network 'deit4_small"):
        read_networks(state, arch='deit4_small')
    # Where we write, names are timm's.
    ours = convert_checkpoint(state, 'leopart_mm', arch=AXIAL).checkpoint
    assert convert_checkpoint(ours, 'timm').checkpoint.keys() == state.keys()
    # A network that is built takes either kind of file as its own.
    assert "(timm Eva layout" in tiny_vit(AXIAL, seed=1).load_pretrained(state).summary()
    expected = deit.load_pretrained(ls) and deit(image)[0]
    again = tiny_vit(DEIT, seed=1)
    assert '(DeiT-3 layout' in again.load_pretrained(state).summary()
    assert torch.equal(again(image)[0], expected)
    # A folder of timm names its network.
    network = timm.create_model(AXIAL, num_classes=0, img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=2)
    network.load_state_dict(state)
    timm.models.save_for_hf(network, tmp_path, safe_serialization=True)
    assert arch_of_folder(str(tmp_path)) in (AXIAL, f'{AXIAL}.naver_in1k')
    vit = DenseViT(model_kwargs=TINY, checkpoint=str(tmp_path)).eval()
    vit.init_weights()
    assert torch.equal(vit(image)[0], rope(image)[0])
    assert vit.mean == (123.675, 116.28, 103.53)


def test_leoparts_heads_by_name():
    names = ('projection_head.0.weight', 'projection_head.2.bias', 'prototypes.weight', 'projection_head.weight', 'x')
    assert [LEOPART_HEADS.to_ours(name) for name in names] == [
        'neck.mlp.0.weight', 'neck.mlp.2.bias', 'head.prototypes.weight', 'neck.mlp.0.weight', None]
    deep = {'neck.mlp.0.weight', 'neck.mlp.2.weight', 'classifier.weight'}
    assert LEOPART_HEADS.from_ours(deep) == {
        'neck.mlp.0.weight': 'projection_head.0.weight', 'neck.mlp.2.weight': 'projection_head.2.weight'}
    assert LEOPART_HEADS.from_ours({'neck.mlp.0.weight', 'neck.mlp.0.bias'}) == {
        'neck.mlp.0.weight': 'projection_head.weight', 'neck.mlp.0.bias': 'projection_head.bias'}


def test_heads_of_a_new_layout_need_only_their_table(monkeypatch):
    """As of a program whose backbone is `net.model.*` and whose heads lie beside it."""
    layout = HeadLayout('Segmenting', (('cluster.', 'neck.cluster.'), ), backbones=('model.', ))
    monkeypatch.setitem(TARGETS, 'segmenting', FileLayout(prefix='model.', heads=layout))
    monkeypatch.setattr('leopart_mm.checkpoints.networks.HEAD_LAYOUTS', [*HEAD_LAYOUTS, layout])
    weight = torch.randn(5, 32)
    source = dict(state_dict={**prefixed(PLAIN, 'net.model.'), 'net.cluster.weight': weight, 'net.probe.bias': weight})
    network = read_networks(source)['student']
    assert list(network.heads) == ['neck.cluster.weight']
    assert network.sources == {'neck.cluster.weight': 'state_dict.net.cluster.weight'}
    assert network.unplaced == ['state_dict.net.probe.bias']
    written = convert_checkpoint(source, 'segmenting')
    assert written.dropped == ['state_dict.net.probe.bias']
    assert torch.equal(written.checkpoint['cluster.weight'], weight)
    assert torch.equal(written.checkpoint['model.cls_token'], PLAIN['cls_token'])


def resnet(value, prefix=''):
    return {f'{prefix}{key}': torch.full((2, ), value) for key in ('conv1.weight', 'layer1.0.conv1.weight')}


@pytest.mark.parametrize(('checkpoint', 'key', 'value'), [
    (resnet(1.), None, 1.),
    ({**resnet(1., 'encoder_q.'), **resnet(2., 'encoder_k.')}, None, 1.),
    ({**resnet(1., 'encoder_q.'), **resnet(2., 'encoder_k.')}, 'teacher', 2.),
    ({**resnet(1., 'student.backbone.'), **resnet(2., 'teacher.backbone.')}, None, 2.),  # DINO's
    ({**resnet(1., 'student.backbone.'), **resnet(2., 'teacher.backbone.')}, 'student', 1.),
    (dict(state_dict={**resnet(1., 'a.'), **resnet(2., 'b.')}), 'state_dict.b', 2.),
    ({**resnet(1., 'online.'), **PLAIN}, None, 1.),  # a ViT in the same file is another network
])
def test_resnets_are_found_by_the_same_rules(checkpoint, key, value):
    assert float(find_network(checkpoint, key, kind=RESNET).state['conv1.weight'][0]) == value


@pytest.mark.parametrize(('checkpoint', 'message'), [
    (PLAIN, r'the file holds no ResNet: it looks like a ViT \(.*Name a ResNet checkpoint'),
    ({**resnet(1., 'a.'), **resnet(2., 'b.')}, r"ResNets under the prefixes 'a.', 'b.'; more than one fits"),
    ({'x': 3}, 'no tensors at all'),
])
def test_no_resnet_is_found(checkpoint, message):
    with pytest.raises(BackboneCheckpointError, match=message):
        find_network(checkpoint, None, 'the file', RESNET)
