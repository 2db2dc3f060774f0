"""What a name says of a network, without weights and without a connection."""

import doctest

import pytest
import timm

from leopart_mm.models.backbones import DenseViT, facts
from leopart_mm.models.backbones.facts import BackboneFacts, backbone_facts

IMAGENET = dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
HALF = dict(mean=(127.5, ) * 3, std=(127.5, ) * 3)
SATELLITE = dict(mean=(109.65, 104.805, 75.48), std=(54.315, 39.78, 36.465))
DINO_URL = 'https://dl.fbaipublicfiles.com/dino/dino_vitbase8_pretrain/dino_vitbase8_pretrain.pth'


@pytest.mark.parametrize(('name', 'arch', 'expected'), [
    ('timm://vit_small_patch16_224.dino', '',
     BackboneFacts('vit_small_patch16_224.dino', 384, 12, 16, 0, **IMAGENET, pos_interp='dino')),
    ('timm://vit_tiny_patch16_224', '',  # timm's first weights of this name
     BackboneFacts('vit_tiny_patch16_224.augreg_in21k_ft_in1k', 192, 12, 16, 0, **HALF, pos_interp='timm')),
    ('timm://vit_small_patch14_reg4_dinov2', '',
     BackboneFacts('vit_small_patch14_reg4_dinov2.lvd142m', 384, 12, 14, 4, **IMAGENET, pos_interp='timm')),
    ('hf-hub:timm/vit_base_patch14_dinov2.lvd142m', '',
     BackboneFacts('vit_base_patch14_dinov2.lvd142m', 768, 12, 14, 0, **IMAGENET, pos_interp='dino')),
    (DINO_URL, '', BackboneFacts('vit_base_patch8_224.dino', 768, 12, 8, 0, **IMAGENET, pos_interp='dino')),
    ('weights/leopart.ckpt', 'vit_small_patch16_224.dino',
     BackboneFacts('vit_small_patch16_224.dino', 384, 12, 16, 0, **IMAGENET, pos_interp='dino')),
    ('weights/x.ckpt', 'vit_small_patch16_224', BackboneFacts('vit_small_patch16_224', 384, 12, 16, 0)),
    ('vit_small_patch16_224', '', BackboneFacts('vit_small_patch16_224', 384, 12, 16, 0)),
    ('timm://vit_small_patch16_dinov3', '',
     BackboneFacts('vit_small_patch16_dinov3.lvd1689m', 384, 12, 16, 4, **IMAGENET, pos_interp='timm')),
    ('weights/x.pth', 'vit_large_patch16_dinov3.sat493m',
     BackboneFacts('vit_large_patch16_dinov3.sat493m', 1024, 24, 16, 4, **SATELLITE, pos_interp='timm')),
    ('weights/x.pth', 'vit_large_patch16_dinov3',  # of photographs or of satellite images
     BackboneFacts('vit_large_patch16_dinov3', 1024, 24, 16, 4, pos_interp='timm')),
    ('timm://vit_base_patch16_siglip_256.v2_webli', '',
     BackboneFacts('vit_base_patch16_siglip_256.v2_webli', 768, 12, 16, 0, **HALF, pos_interp='timm')),
    # All of timm's weights for this arch agree about the colours, but the file may be another author's.
    ('vit_small_patch14_dinov2', '', BackboneFacts('vit_small_patch14_dinov2', 384, 12, 14, 0, **IMAGENET)),
])
def test_facts(name, arch, expected):
    assert backbone_facts(name, arch) == expected


def test_a_hub_repository_tells_its_network(monkeypatch):
    monkeypatch.setattr(timm.models, 'load_model_config_from_hf',
                        lambda repo: ({'tag': 'dino'}, {'someone/x': 'vit_small_patch8_224'}[repo], {}))
    assert backbone_facts('hf-hub:someone/x').arch == 'vit_small_patch8_224.dino'

    def offline(repo):
        raise ConnectionError('no route to host')

    monkeypatch.setattr(timm.models, 'load_model_config_from_hf', offline)
    with pytest.raises(ValueError, match=r'hf-hub:someone/y.*no route to host.*arch='):
        backbone_facts('hf-hub:someone/y')


@pytest.mark.parametrize(('name', 'message'), [
    ('weights/x.ckpt', r"network of 'weights/x.ckpt' is unknown.*arch="),
    ('https://example.invalid/x.pth', r'arch=vit_small'),
    ('timm://vit_small_patch16_224.dinno', r"no weights 'vit_small_patch16_224.dinno'.*vit_small_patch16_224.dino"),
    ('timm://vit_smal_patch16_224', 'no timm model. Close names: vit_small_patch16_224'),
    ('resnet50', 'is a ResNet'),
])
def test_what_is_unknown_is_said(name, message):
    with pytest.raises(ValueError, match=message):
        backbone_facts(name)


def test_examples():
    assert doctest.testmod(facts).failed == 0


@pytest.mark.parametrize(('source', 'arch', 'expected'), [
    ('timm://vit_tiny_patch16_224', None, 'timm'), ('timm://vit_small_patch16_224.dino', None, 'dino'),
    (DINO_URL, None, 'dino'), ('weights.pth', 'vit_tiny_patch16_224.augreg_in21k_ft_in1k', 'timm'),
    ('weights.pth', 'vit_tiny_patch16_224', 'dino'), (None, None, 'dino'),
    ('weights.pth', 'eva02_tiny_patch14_224', 'timm')])
def test_the_position_mode_of_weights_is_that_of_their_facts(source, arch, expected):
    assert DenseViT(arch, dict(depth=1), source).pos_interp == expected
    if source is not None and (arch or source.startswith(('timm', 'http'))):
        assert (backbone_facts(source, arch or '').pos_interp or 'dino') == expected
