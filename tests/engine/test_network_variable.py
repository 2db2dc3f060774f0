"""`backbone=` and `arch=` set everything that follows from the network; widths that do not fit are named."""

import pytest

from leopart_mm.cli.arguments import TypedText
from leopart_mm.engine.config import load_config

PROBE = """
arch = 'vit_small_patch16_224'
embed_dims = 384
depth = 12
patch_size = 16
pos_interp = 'dino'
checkpoint = 'dino.pth'
mean = [123.675, 116.28, 103.53]
std = [58.395, 57.12, 57.375]
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(mean=mean, std=std, test_cfg=dict(size_divisor=patch_size)),
    backbone=dict(type='leopart_mm.DenseViT', arch=arch, checkpoint=checkpoint, pos_interp=pos_interp,
                  frozen_stages=depth, model_kwargs=dict(num_heads=12)),
    decode_head=dict(in_channels=embed_dims, channels=embed_dims))
train_dataloader = dict(batch_size=2)
"""
LITERAL = """
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(mean=[1, 2, 3], std=[4, 5, 6]),
    backbone=dict(type='leopart_mm.DenseViT', arch='vit_small_patch16_224'))
"""


@pytest.fixture
def probe(tmp_path):
    (tmp_path / 'probe.py').write_text(PROBE)
    return tmp_path / 'probe.py'


def summary(cfg):
    model = cfg.model
    return (model.backbone.arch, model.backbone.checkpoint, model.backbone.frozen_stages, model.backbone.pos_interp,
            model.decode_head.in_channels, model.decode_head.channels, model.data_preprocessor.test_cfg.size_divisor)


def test_backbone_sets_all(probe):
    source = 'timm://vit_large_patch14_dinov2.lvd142m'
    cfg = load_config(probe, {'backbone': TypedText(source)})
    assert summary(cfg) == ('vit_large_patch14_dinov2.lvd142m', source, 24, 'dino', 1024, 1024, 14)
    assert 'model_kwargs' not in cfg.model.backbone
    assert list(cfg.model.data_preprocessor.mean) == [123.675, 116.28, 103.53]
    cfg = load_config(probe, {'backbone': 'timm://vit_tiny_patch16_224.augreg_in21k'})
    assert cfg.model.decode_head.in_channels == 192
    assert list(cfg.model.data_preprocessor.mean) == list(cfg.model.data_preprocessor.std) == [127.5] * 3
    assert cfg.model.backbone.pos_interp == 'timm'


def test_file_with_arch(probe):
    cfg = load_config(probe, {'backbone': TypedText('my weights.pth'), 'arch': TypedText('vit_base_patch8_224')})
    assert summary(cfg) == ('vit_base_patch8_224', 'my weights.pth', 12, 'dino', 768, 768, 8)
    assert list(cfg.model.data_preprocessor.mean) == [123.675, 116.28, 103.53], 'unknown, so the config keeps its own'
    of_config = load_config(probe, {'backbone': 'w.pth'})
    assert summary(of_config) == ('vit_small_patch16_224', 'w.pth', 12, 'dino', 384, 384, 16)


def test_arch_alone(probe):
    assert summary(load_config(probe, {'arch': 'vit_base_patch16_224'})) == (
        'vit_base_patch16_224', 'dino.pth', 12, 'dino', 768, 768, 16)


def test_given_values_win(probe):
    cfg = load_config(probe, {'backbone': 'timm://vit_base_patch16_224.dino', 'mean': [0, 0, 0],
                              'model.data_preprocessor.test_cfg.size_divisor': 32})
    preprocessor = cfg.model.data_preprocessor
    assert (list(preprocessor.mean), preprocessor.test_cfg.size_divisor) == ([0, 0, 0], 32)


def test_config_without_variables(tmp_path):
    (tmp_path / 'literal.py').write_text(LITERAL)
    cfg = load_config(tmp_path / 'literal.py', {'backbone': 'timm://vit_base_patch16_224.augreg_in21k'})
    assert cfg.model.backbone.arch == 'vit_base_patch16_224.augreg_in21k'
    assert cfg.load_from == 'timm://vit_base_patch16_224.augreg_in21k'
    assert list(cfg.model.data_preprocessor.mean) == [127.5] * 3


@pytest.mark.parametrize('key', ['decode_head', 'neck'])
def test_widths_that_do_not_fit_are_named(probe, key):
    with pytest.raises(ValueError, match=rf'model\.{key}\.in_channels=7, but the backbone vit_small.* gives 384'):
        load_config(probe, {f'model.{key}.in_channels': 7})


def test_an_arch_without_its_widths_is_refused(probe):
    with pytest.raises(ValueError, match=r'model\.decode_head\.in_channels=384, but the backbone vit_base.* gives 768'):
        load_config(probe, {'model.backbone.arch': 'vit_base_patch16_224'})


def test_unknown_networks_are_named(probe, tmp_path):
    with pytest.raises(ValueError, match=r'vit_base_patch16_224\.nobody'):
        load_config(probe, {'backbone': 'timm://vit_base_patch16_224.nobody'})
    with pytest.raises(ValueError, match='name weights'):
        load_config(probe, {'backbone': None})
    (tmp_path / 'resnet.py').write_text("model = dict(backbone=dict(type='leopart_mm.DenseResNet', depth=50))")
    with pytest.raises(ValueError, match='DenseResNet'):
        load_config(tmp_path / 'resnet.py', {'backbone': 'timm://vit_base_patch16_224.dino'})


def test_colours_are_said(probe, monkeypatch):
    said = []
    monkeypatch.setattr('leopart_mm.engine.network_variable.print_log', lambda text, **_: said.append(text))
    load_config(probe, {'backbone': 'timm://vit_small_patch16_224.dino'})
    assert [text for text in said if 'mean' in text] == []
    load_config(probe, {'backbone': 'w.pth'})
    assert 'statistics of w.pth are not known: mean=[123.675' in said[-1]
    load_config(probe, {'checkpoint': 'timm://vit_small_patch16_224.augreg_in21k'})
    assert 'was trained with mean=[127.5, 127.5, 127.5], the config uses mean=[123.675' in said[-2]
    assert 'was trained with std=' in said[-1]
