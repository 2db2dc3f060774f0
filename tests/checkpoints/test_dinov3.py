"""DINOv3's own files: every tensor as timm's own filter has it, and back; what timm cannot compute is refused."""

import pytest
import timm
import torch

from leopart_mm.checkpoints.conversion import convert_checkpoint
from leopart_mm.checkpoints.matching import load_backbone_state
from leopart_mm.checkpoints.networks import read_networks
from leopart_mm.checkpoints.qkv_tensors import rotary_periods
from leopart_mm.models.backbones import BackboneCheckpointError, DenseViT
from tests.checkpoints.layouts import dinov3, other, prefixed
from tests.models.backbones.builders import TINY, tiny_vit

ARCHS = ['vit_small_patch16_dinov3', 'vit_small_patch16_dinov3_qkvb', 'vit_small_plus_patch16_dinov3',
         'vit_small_plus_patch16_dinov3_qkvb']
PLAIN, BIASED, GATED, _ = ARCHS
IMAGE = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(3))


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].dtype == value.dtype, key
        assert torch.equal(found[key], value), key


@torch.no_grad()
@pytest.mark.parametrize('arch', ARCHS)
def test_a_file_becomes_what_timms_filter_makes_of_it(arch, tmp_path):
    source = tiny_vit(arch)
    official = dinov3(source.state_dict())
    network = timm.create_model(arch, num_classes=0, **TINY)
    assert_equal(convert_checkpoint(official, 'timm').checkpoint,
                 {key: value for key, value in timm.models.eva.checkpoint_filter_fn(official, network).items()
                  if key in network.state_dict()})
    torch.save(official, tmp_path / 'dinov3.pth')
    vit = DenseViT(arch, TINY, checkpoint=str(tmp_path / 'dinov3.pth')).eval()
    vit.init_weights()
    assert torch.equal(vit(IMAGE)[0], source(IMAGE)[0])


@pytest.mark.parametrize('arch', ARCHS)
@pytest.mark.parametrize('through', ['timm', 'leopart_mm', 'hf_dinov3', 'dinov3'])
def test_round_trips_are_bit_exact(arch, through):
    official = dinov3(tiny_vit(arch).state_dict())
    there = convert_checkpoint(official, through)
    assert there.dropped == ['mask_token']
    back = convert_checkpoint(there.checkpoint, 'dinov3', num_heads=2)
    assert_equal(back.checkpoint, official)
    if through == 'leopart_mm':  # the other way round too: biases of zeros are kept where ours has them
        ours = there.checkpoint['state_dict']
        assert_equal(convert_checkpoint(back.checkpoint, 'leopart_mm').checkpoint['state_dict'], ours)


def test_the_number_of_heads_is_told_known_or_asked_for():
    official = dinov3(tiny_vit(PLAIN).state_dict())
    assert read_networks(official)['student'].num_heads == 2
    assert convert_checkpoint(official, 'hf_dinov3').config['num_attention_heads'] == 2
    state = convert_checkpoint(official, 'timm').checkpoint
    with pytest.raises(BackboneCheckpointError, match=r"the file does not tell how many.*'dinov3'.*32 wide.*--heads"):
        convert_checkpoint(state, 'dinov3', name='the file')
    wide = timm.create_model(PLAIN, num_classes=0, depth=1)  # of the published width
    periods = convert_checkpoint(wide.state_dict(), 'dinov3').checkpoint['rope_embed.periods']
    torch.testing.assert_close(periods, wide.rope.periods)
    vit = DenseViT(PLAIN, dict(TINY, num_heads=4))
    with pytest.raises(BackboneCheckpointError, match=r'2 attention heads, the config builds .* with 4: set'):
        vit.load_pretrained(official)


def test_masked_biases_of_keys_do_not_count():
    official = dinov3(tiny_vit(BIASED).state_dict())
    expected = convert_checkpoint(official, 'timm').checkpoint
    official['blocks.1.attn.qkv.bias'][32:64] = 3.
    assert_equal(convert_checkpoint(official, 'timm').checkpoint, expected)
    del official['blocks.1.attn.qkv.bias_mask']
    with pytest.raises(BackboneCheckpointError, match=r'the file: keys have a bias in blocks\.1\.attn\.qkv\.bias'):
        convert_checkpoint(official, 'timm', name='the file')


def test_norms_and_positions_that_timm_lacks_are_refused():
    official = dinov3(tiny_vit(PLAIN).state_dict())
    with_local = {**official, 'local_cls_norm.weight': torch.ones(32), 'local_cls_norm.bias': torch.ones(32)}
    found = convert_checkpoint(with_local, 'timm')
    assert_equal(found.checkpoint, convert_checkpoint(official, 'timm').checkpoint)
    assert found.dropped == ['mask_token', 'local_cls_norm.weight', 'local_cls_norm.bias']
    with pytest.raises(BackboneCheckpointError, match='a norm of its own for class token'):
        convert_checkpoint({**official, 'cls_norm.weight': torch.ones(32)}, 'timm')
    rounded = {**official, 'rope_embed.periods': official['rope_embed.periods'].bfloat16()}  # as in published files
    assert_equal(convert_checkpoint(rounded, 'timm').checkpoint, convert_checkpoint(official, 'timm').checkpoint)
    with pytest.raises(BackboneCheckpointError, match=r'other rotary positions \(rope_embed\.periods up to 1000 '):
        convert_checkpoint({**official, 'rope_embed.periods': torch.tensor([1., 10., 100., 1000.])}, 'timm')


def test_rotary_periods():
    torch.testing.assert_close(rotary_periods(16), torch.tensor([1., 10.**0.5, 10., 1000.**0.5]))
    vit = timm.create_model('vit_7b_patch16_dinov3', depth=0)
    torch.testing.assert_close(rotary_periods(128), vit.rope.periods)


def test_the_7b_network_alone_is_written_without_biases():
    stem, token = torch.ones(1, 1, 1, 1).expand(4096, 3, 1, 1), torch.zeros(1, 1, 1).expand(1, 1, 4096)
    block = {'gamma_1': torch.ones(1), 'attn.qkv.weight': torch.ones(1, 1).expand(3 * 4096, 1),
             'mlp.fc1_g.weight': torch.ones(1, 1), 'mlp.fc2.weight': torch.ones(1, 1)}
    state = {'patch_embed.proj.weight': stem, 'cls_token': token, 'reg_token': token, **prefixed(block, 'blocks.0.')}
    written = convert_checkpoint(state, 'dinov3').checkpoint
    assert not any('bias' in key for key in written)
    assert written['rope_embed.periods'].shape == (32, )  # heads of 128 channels
    assert not convert_checkpoint(state, 'hf_dinov3').config['query_bias']


@torch.no_grad()
def test_biases_of_zeros_come_and_go_with_the_arch():
    source = tiny_vit(PLAIN)
    vit = tiny_vit(BIASED, seed=1)
    assert 'biases of queries and values are zeros' in vit.load_pretrained(source.state_dict()).summary()
    torch.testing.assert_close(vit(IMAGE)[0], source(IMAGE)[0])
    again = tiny_vit(PLAIN, seed=2)
    assert 'all zeros, left out' in again.load_pretrained(vit.state_dict()).summary()
    assert torch.equal(again(IMAGE)[0], source(IMAGE)[0])
    with pytest.raises(BackboneCheckpointError, match=r'Its queries and values have biases: .*_qkvb'):
        again.load_pretrained(tiny_vit(BIASED).state_dict())
    with pytest.raises(BackboneCheckpointError, match='Its MLPs are gated'):
        again.load_pretrained(dinov3(tiny_vit(GATED).state_dict()))


@pytest.mark.parametrize(('lost', 'words'), [
    ('blocks.1.mlp.fc1.weight', r'the file lacks 1 of .*other blocks have, .*blocks\.1\.mlp\.fc1\.weight: .*again'),
    ('blocks.1.', r'lacks 13 of .*blocks\.1\.attn\.proj\.bias'),
])
def test_an_incomplete_file_is_not_converted(lost, words):
    official = dinov3(tiny_vit(PLAIN).state_dict())
    with pytest.raises(BackboneCheckpointError, match=words):
        convert_checkpoint({key: value for key, value in official.items() if not key.startswith(lost)}, 'timm',
                           name='the file')


def test_training_files_hold_a_teacher():
    official = dinov3(tiny_vit(PLAIN).state_dict())
    source = dict(student=prefixed(other(official), 'backbone.'), teacher=prefixed(official, 'backbone.'))
    del source['student']['backbone.rope_embed.periods']
    assert_equal(convert_checkpoint(source, 'timm').checkpoint, convert_checkpoint(official, 'timm').checkpoint)


@pytest.mark.parametrize(('arch', 'target', 'message'), [
    (PLAIN, 'dinov2', r"with rotary positions and the blocks of timm's Eva networks.*leopart_mm, dinov3, hf_dinov3\."),
    ('vit_small_patch14_dinov2', 'dinov3', 'with learned positions and biases of keys'),
    ('vit_tiny_patch16_224', 'hf_dinov2', r"a ViT without LayerScale, which the networks of 'hf_dinov2' have"),
    ('eva02_base_patch14_224', 'dinov3', r'positions and norms inside its blocks, .* one of: timm, leopart_mm\.'),
    ('vit_small_patch16_rope_224', 'hf_dinov3', r'with biases of keys, which .* one of: timm, leopart_mm\.'),
])
def test_networks_that_the_target_cannot_run_are_refused(arch, target, message):
    with pytest.raises(BackboneCheckpointError, match=message):
        convert_checkpoint(tiny_vit(arch).state_dict(), target, num_heads=2)


def test_a_file_for_another_network_is_explained():
    vit = tiny_vit('vit_small_patch14_dinov2')
    with pytest.raises(BackboneCheckpointError, match=r'the given dict does not fit.*It has rotary positions'):
        load_backbone_state(dinov3(tiny_vit(PLAIN).state_dict()), vit.network_spec, name='the given dict')
