"""Folders as transformers' `save_pretrained` writes them, made here without it: read, named, compared."""

import json
import shutil

import pytest
import torch
from mmengine.runner import load_checkpoint
from safetensors.torch import save_file

from leopart_mm.apis.backbone_source import BackboneSource
from leopart_mm.checkpoints.conversion import convert_checkpoint
from leopart_mm.checkpoints.safe_reading import load_checkpoint_file
from leopart_mm.checkpoints.transformers_config import timm_arch
from leopart_mm.engine.network_variable import network_variables
from leopart_mm.fingerprints import file_fingerprint, settings_fingerprint
from leopart_mm.models.backbones import BackboneCheckpointError, DenseViT, backbone_facts
from tests.checkpoints.layouts import dinov3
from tests.models.backbones.builders import TINY, tiny_vit

ARCH = 'vit_small_patch16_dinov3_qkvb'
IMAGE = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
SMALL = dict(hidden_size=384, num_hidden_layers=12, num_attention_heads=6)


def write(folder, state, config=None, shards=0):
    """Weights, in one file or in shards, with a config beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    if shards:
        names = {key: f'model-{number % shards}.safetensors' for number, key in enumerate(sorted(state))}
        for name in set(names.values()):
            save_file({key: state[key] for key in state if names[key] == name}, folder / name)
        (folder / 'model.safetensors.index.json').write_text(json.dumps(dict(metadata={}, weight_map=names)))
    else:
        save_file(state, folder / 'model.safetensors')
    if config is not None:
        (folder / 'config.json').write_text(json.dumps(config))
    return folder


@pytest.fixture(scope='module')
def tiny():
    """A small DINOv3 and the same in transformers' layout, with its config."""
    source = tiny_vit(ARCH)
    return source, convert_checkpoint(dinov3(source.state_dict()), 'hf_dinov3')


@torch.no_grad()
@pytest.mark.parametrize('shards', [0, 3])
def test_folder_file_and_index_are_read(shards, tiny, tmp_path):
    source, converted = tiny
    folder = write(tmp_path / 'net', converted.checkpoint, converted.config, shards)
    file = folder / ('model.safetensors.index.json' if shards else 'model.safetensors')
    for path in (folder, file):
        vit = DenseViT(ARCH, TINY, checkpoint=str(path)).eval()
        vit.init_weights()
        assert torch.equal(vit(IMAGE)[0], source(IMAGE)[0])
    vit = DenseViT(ARCH, TINY, init_cfg=dict(type='Pretrained', checkpoint=str(folder))).eval()
    vit.init_weights()
    assert torch.equal(vit(IMAGE)[0], source(IMAGE)[0])
    again = tiny_vit(ARCH, seed=1)
    load_checkpoint(again, str(folder))
    assert torch.equal(again(IMAGE)[0], source(IMAGE)[0])


def test_damaged_folders_are_explained(tiny, tmp_path):
    folder = write(tmp_path, tiny[1].checkpoint, shards=2)
    index = folder / 'model.safetensors.index.json'
    content = json.loads(index.read_text())
    content['weight_map']['lost'] = 'model-1.safetensors'
    index.write_text(json.dumps(content))
    with pytest.raises(RuntimeError, match='names lost, which none of its files holds'):
        load_checkpoint_file(folder)
    content['weight_map']['lost'] = '../other.safetensors'
    index.write_text(json.dumps(content))
    with pytest.raises(RuntimeError, match=r"names '\.\./other\.safetensors', which does not lie beside it"):
        load_checkpoint_file(folder)
    index.write_text('{}')
    with pytest.raises(RuntimeError, match='is no index of weights'):
        load_checkpoint_file(index)
    index.unlink()
    with pytest.raises(FileNotFoundError, match=r'It is a folder: name the file in it, such as .*model-0\.safetensors'):
        load_checkpoint_file(folder)
    write(folder, tiny[1].checkpoint)
    (folder / 'config.json').write_text('{')
    with pytest.raises(RuntimeError, match=r'config\.json is no JSON'):
        backbone_facts(str(folder))


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(rope_theta=10000.), r"net: rope_theta=10000\.0 in its config\.json, but timm's networks have 100"),
    (dict(hidden_act='silu'), 'hidden_act=silu'),
    (dict(num_attention_heads=4), r'net is a ViT with 4 attention heads, the config builds .* with 2'),
])
def test_what_only_the_config_tells_is_compared(changes, message, tiny, tmp_path):
    folder = write(tmp_path / 'net', tiny[1].checkpoint, {**tiny[1].config, **changes})
    with pytest.raises(BackboneCheckpointError, match=message):
        DenseViT(ARCH, TINY).load_pretrained(folder)


@pytest.mark.parametrize(('config', 'arch'), [
    (dict(model_type='dinov2', patch_size=14, **SMALL), 'vit_small_patch14_dinov2'),
    (dict(model_type='dinov2', patch_size=14, hidden_size=1536, num_hidden_layers=40, num_attention_heads=24,
          use_swiglu_ffn=True), 'vit_giant_patch14_dinov2'),
    (dict(model_type='dinov2_with_registers', patch_size=14, **SMALL), 'vit_small_patch14_reg4_dinov2'),
    (dict(model_type='dinov3_vit', patch_size=16, num_register_tokens=4, **SMALL), 'vit_small_patch16_dinov3'),
    (dict(model_type='dinov3_vit', patch_size=16, num_register_tokens=4, use_gated_mlp=True, **SMALL),
     'vit_small_plus_patch16_dinov3'),
    (dict(model_type='dinov3_vit', patch_size=16, num_register_tokens=0, **SMALL), None),
    (dict(model_type='dinov2', patch_size=8, **SMALL), None),
    (dict(model_type='dinov2', patch_size=14, **{**SMALL, 'num_attention_heads': 12}), None),
    (dict(model_type='beit', patch_size=16, **SMALL), None),
])
def test_the_arch_of_a_config(config, arch):
    assert timm_arch(config) == arch
    if arch is not None:  # timm's network of this name is the one that the config describes
        facts = backbone_facts(arch)
        assert (facts.embed_dims, facts.depth, facts.patch_size, facts.registers) == (
            config['hidden_size'], config['num_hidden_layers'], config['patch_size'],
            config.get('num_register_tokens', 4 if config['model_type'] == 'dinov2_with_registers' else 0))


@torch.no_grad()
def test_a_folder_names_its_network_everywhere(tmp_path):
    """A whole DINOv3 ViT-S/16 of random weights and its statistics of colours."""
    from mmengine.config import Config
    source = DenseViT('vit_small_patch16_dinov3').eval()
    converted = convert_checkpoint(source.state_dict(), 'hf_dinov3')
    folder = write(tmp_path, converted.checkpoint, converted.config)
    assert backbone_facts(str(folder)).mean == (123.675, 116.28, 103.53)
    colours = dict(image_mean=[0.43, 0.411, 0.296], image_std=[0.213, 0.156, 0.143])
    (folder / 'preprocessor_config.json').write_text(json.dumps(colours))
    facts = backbone_facts.__wrapped__(str(folder))
    assert (facts.arch, facts.mean) == ('vit_small_patch16_dinov3.lvd1689m', (109.65, 104.805, 75.48))
    config = Config(dict(model=dict(backbone=dict(type='leopart_mm.DenseViT', arch='vit_base_patch8_224'))))
    values = network_variables(config, dict(backbone=str(folder)))
    assert (values['arch'], values['checkpoint'], values['embed_dims']) == (facts.arch, str(folder), 384)
    found = BackboneSource.read(str(folder))
    assert (found.network.arch, found.mean, found.guessed) == (facts.arch, facts.mean, False)
    assert torch.equal(found.network(IMAGE)[0], source(IMAGE)[0])
    converted.checkpoint['layer.3.attention.q_proj.bias'] += 1
    assert backbone_facts.__wrapped__(str(write(folder, converted.checkpoint))).arch == f'{ARCH}.lvd1689m'


def test_fingerprints_are_of_the_weights(tiny, tmp_path):
    state, config = tiny[1].checkpoint, tiny[1].config
    first, second = write(tmp_path / 'a', state, config, 2), write(tmp_path / 'b' / 'c', state, config, 2)
    assert file_fingerprint(first) == file_fingerprint(second)
    assert settings_fingerprint(dict(checkpoint=str(first))) == settings_fingerprint(dict(checkpoint=str(second)))
    whole = write(tmp_path / 'whole', state)
    assert file_fingerprint(whole) == file_fingerprint(whole / 'model.safetensors')
    write(second, {**state, 'norm.bias': state['norm.bias'] + 1}, config, 2)
    assert file_fingerprint(first) != file_fingerprint(second)
    assert settings_fingerprint(dict(checkpoint=str(first))) != settings_fingerprint(dict(checkpoint=str(second)))
    shutil.rmtree(second)
    with pytest.raises(FileNotFoundError):
        file_fingerprint(second)
