"""Hugging Face's own networks, small and random: saved by it and read by us, written by us and read by it."""

import json
import re

import pytest
import timm
import torch

from leopart_mm.checkpoints.conversion import convert_checkpoint, flat_tensors
from leopart_mm.checkpoints.matching import NetworkSpec, load_backbone_state
from leopart_mm.checkpoints.safe_reading import load_checkpoint_file
from leopart_mm.models.backbones import BackboneCheckpointError, DenseViT
from tests.models.backbones.builders import TINY
from tests.tools.running import run_tool

transformers = pytest.importorskip('transformers', minversion='4.56')

IMAGE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
WIDE = torch.randn(1, 3, 24, 40, generator=torch.Generator().manual_seed(4))
SIZES = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=32, patch_size=8)
GATED_V2 = dict(mlp_ratio=88 * 2 / 32)  # transformers rounds two thirds of 4 widths up to 88
# Class, its config, timm's network and its arguments.
NETWORKS = {
    'dinov2': ('Dinov2', {}, 'vit_small_patch14_dinov2', {}),
    'dinov2 gated': ('Dinov2', dict(use_swiglu_ffn=True), 'vit_giant_patch14_dinov2', GATED_V2),
    'dinov2 with registers': ('Dinov2WithRegisters', {}, 'vit_small_patch14_reg4_dinov2', {}),
    'dinov3': ('DINOv3ViT', dict(num_register_tokens=4, intermediate_size=128), 'vit_small_patch16_dinov3_qkvb', {}),
    'dinov3 gated': ('DINOv3ViT', dict(num_register_tokens=4, intermediate_size=128, use_gated_mlp=True,
                                       hidden_act='silu'), 'vit_small_plus_patch16_dinov3_qkvb', {}),
    'vit': ('ViT', dict(intermediate_size=128, layer_norm_eps=1e-6), 'vit_tiny_patch16_224', {}),
}


def network_of_transformers(name):
    """One of theirs whose every parameter is random."""
    kind, options, *_ = NETWORKS[name]
    network = getattr(transformers, f'{kind}Model')(getattr(transformers, f'{kind}Config')(**SIZES, **options)).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1 + (parameter.ndim == 1))
    return network


def network_of_timm(name, source):
    """timm's, with the weights of `source`."""
    *_, arch, options = NETWORKS[name]
    network = timm.create_model(arch, num_classes=0, **TINY, **options, dynamic_img_size=True).eval()
    spec = NetworkSpec(arch, {key: tuple(value.shape) for key, value in network.state_dict().items()},
                       grid=(4, 4) if network.pos_embed is not None else None, num_heads=2,
                       num_prefix_positions=0 if network.no_embed_class else network.num_prefix_tokens)
    network.load_state_dict(load_backbone_state(source, spec)[0])
    return network


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    """Their networks, and the folders that `save_pretrained` wrote of them."""
    found = {}
    for name in NETWORKS:
        network, folder = network_of_transformers(name), tmp_path_factory.mktemp('saved') / name
        network.save_pretrained(folder)
        found[name] = network, folder
    return found


@torch.no_grad()
@pytest.mark.parametrize('name', NETWORKS)
def test_timms_network_computes_the_same(name, saved):
    theirs, folder = saved[name]
    ours = network_of_timm(name, folder)
    torch.testing.assert_close(ours.forward_features(IMAGE), theirs(IMAGE).last_hidden_state, atol=1e-5, rtol=1e-5)
    if 'dinov3' in name:  # positions of other grids need no resizing, on which programs differ
        torch.testing.assert_close(ours.forward_features(WIDE), theirs(WIDE).last_hidden_state, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize('name', [name for name in NETWORKS if name != 'dinov2 gated'])
def test_dense_vit_computes_the_same(name, saved):
    theirs, folder = saved[name]
    vit = DenseViT(NETWORKS[name][2], dict(TINY, img_size=64), checkpoint=str(folder)).eval()
    vit.init_weights()
    rotary = vit.pos_embed is None
    assert rotary or vit.grid_size == (4, 4)
    for image in (IMAGE, WIDE, WIDE.mT) if rotary else (IMAGE, ):
        tokens, ours = theirs(image).last_hidden_state, vit.forward_dense(image, cls_attention=True)
        patches = ours.maps[-1].flatten(2).mT
        torch.testing.assert_close(patches, tokens[:, -patches.shape[1]:], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.cls_token, tokens[:, 0], atol=1e-5, rtol=1e-5)
    theirs.set_attn_implementation('eager')  # the others give no attention
    whole = theirs(image, output_attentions=True).attentions[-1]
    torch.testing.assert_close(ours.cls_attention, whole[:, :, 0, -patches.shape[1]:], atol=1e-5, rtol=1e-5)
    theirs.set_attn_implementation('sdpa')


@pytest.mark.parametrize('name', [name for name in NETWORKS if name != 'vit'])
def test_round_trips_through_timm_are_bit_exact(name, saved):
    _, folder = saved[name]
    original = load_checkpoint_file(folder)
    timm_state = convert_checkpoint(original, 'timm').checkpoint
    back = convert_checkpoint(timm_state, f'hf_{name.split()[0]}', num_heads=2)
    registers = 'with registers' in name  # timm adds the class position to the token
    for key, value in original.items():
        if 'mask_token' in key:
            assert not back.checkpoint[key].any()
            assert back.checkpoint[key].shape == value.shape
        elif not (registers and key in ('embeddings.cls_token', 'embeddings.position_embeddings')):
            assert torch.equal(back.checkpoint[key], value), key
    assert back.checkpoint.keys() == original.keys()
    theirs = json.loads((folder / 'config.json').read_text())
    same = {key: value for key, value in back.config.items() if key not in ('image_size', )}
    assert same == {key: theirs.get(key, value) for key, value in same.items()}


@torch.no_grad()
@pytest.mark.parametrize('name', ['dinov2 with registers', 'dinov3 gated'])
def test_transformers_reads_what_the_tool_writes(name, saved, tmp_path, monkeypatch, capsys):
    theirs, folder = saved[name]
    status, _, error = run_tool(monkeypatch, capsys, 'convert_checkpoint.py', folder, tmp_path / 'timm.pth', '--to',
                                  'timm')
    assert status == 0, error
    status, _, error = run_tool(monkeypatch, capsys, 'convert_checkpoint.py', tmp_path / 'timm.pth',
                                  tmp_path / 'new', '--to', f'hf_{name.split()[0]}', '--heads', 2)
    assert status == 0, error
    assert sorted(path.name for path in (tmp_path / 'new').iterdir()) == ['config.json', 'model.safetensors']
    again, report = transformers.AutoModel.from_pretrained(tmp_path / 'new', output_loading_info=True)
    assert not any(report[key] for key in ('missing_keys', 'unexpected_keys', 'mismatched_keys'))
    torch.testing.assert_close(again(IMAGE).last_hidden_state, theirs(IMAGE).last_hidden_state)


def test_shards_and_names_in_memory(saved, tmp_path):
    network, folder = saved['dinov3']
    network.save_pretrained(tmp_path, max_shard_size='20KB')
    whole, index = load_checkpoint_file(folder), tmp_path / 'model.safetensors.index.json'
    assert len(list(tmp_path.glob('model-*.safetensors'))) > 2
    for source in (tmp_path, index):
        found = load_checkpoint_file(source)
        assert found.keys() == whole.keys()
        assert all(torch.equal(found[key], value) for key, value in whole.items())
    for name in ('dinov2', 'dinov3', 'dinov3 gated'):
        network, folder = saved[name]
        memory = convert_checkpoint(network.state_dict(), 'timm').checkpoint
        expected = convert_checkpoint(load_checkpoint_file(folder), 'timm').checkpoint
        assert memory.keys() == expected.keys()
        assert all(torch.equal(memory[key], value) for key, value in expected.items())
    shard = next(tmp_path.glob('model-*.safetensors'))
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=f'{shard.name} is missing'):
        load_checkpoint_file(tmp_path)


def test_a_classifier_beside_the_network(tmp_path):
    network = transformers.Dinov2ForImageClassification(transformers.Dinov2Config(**SIZES))
    network.save_pretrained(tmp_path)
    found = convert_checkpoint(load_checkpoint_file(tmp_path), 'timm')
    assert found.dropped == ['classifier.bias', 'classifier.weight', 'dinov2.embeddings.mask_token']
    key, = (value for name, value in network.dinov2.state_dict().items()  # transformers 4 and 5 name it otherwise
            if re.fullmatch(r'encoder\.layer\.1\.attention\.(k_proj|attention\.key)\.weight', name))
    assert torch.equal(found.checkpoint['blocks.1.attn.qkv.weight'][32:64], key)
    assert flat_tensors(found.checkpoint)['pos_embed'].shape == (1, 17, 32)


def test_networks_that_do_not_fit_are_explained(saved):
    with pytest.raises(BackboneCheckpointError, match=r'It has rotary positions: use a rotary arch \(DINOv3'):
        network_of_timm('dinov2', saved['dinov3'][1])
    with pytest.raises(BackboneCheckpointError, match=r'dinov3 gated does not fit.*Its MLPs are gated'):
        network_of_timm('dinov3', saved['dinov3 gated'][1])
