import pytest
import timm
import torch

from leopart_mm.models.backbones import BackboneCheckpointError, to_timm_state_dict
from tests.checkpoints.layouts import LAYOUTS, dinov2_registers, other, ours
from tests.models.backbones.builders import TINY, flat_patches, tiny_vit

IMAGE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize('arch', ['vit_tiny_patch16_224', 'vit_small_patch14_reg4_dinov2'])
@torch.no_grad()
def test_a_training_checkpoint_loads_strictly_into_timm(arch, tmp_path):
    source = tiny_vit(arch)
    torch.save(ours(source.state_dict()), tmp_path / 'iter_4.pth')
    network = timm.create_model(arch, num_classes=0, **TINY).eval()
    network.load_state_dict(to_timm_state_dict(tmp_path / 'iter_4.pth'))
    tokens = network.forward_features(IMAGE)[:, source.num_prefix_tokens:]
    torch.testing.assert_close(tokens, flat_patches(source(IMAGE)[0]))


def test_the_teacher():
    source = tiny_vit().state_dict()
    exported = to_timm_state_dict(ours(source), 'teacher')
    assert exported.keys() == source.keys()
    assert all(torch.equal(exported[key], value) for key, value in other(source).items())


@pytest.mark.parametrize('layout', ['mmpretrain', 'mmseg', 'mae', 'leopart_flat', 'timm'])
def test_foreign_layouts_become_timms(layout):
    source = tiny_vit().state_dict()
    exported = to_timm_state_dict(LAYOUTS[layout](source))
    assert exported.keys() == source.keys()
    assert all(torch.equal(exported[key], value) for key, value in source.items())


def test_dinov2_registers_become_timms():
    source = tiny_vit('vit_small_patch14_reg4_dinov2').state_dict()
    exported = to_timm_state_dict(dinov2_registers(source))
    assert exported.keys() == source.keys()
    for key, value in source.items():
        torch.testing.assert_close(exported[key], value)


def test_a_missing_teacher_is_an_error():
    with pytest.raises(BackboneCheckpointError, match="none of them fits checkpoint_key='teacher'"):
        to_timm_state_dict(tiny_vit().state_dict(), 'teacher')
