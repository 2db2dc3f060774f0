"""Every published layout loads by file and gives exactly the same features; anything else is refused."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from leopart_mm.models.backbones import BackboneCheckpointError, DenseViT, load_backbone_state
from tests.checkpoints.layouts import LAYOUTS, chunked, dinov2, dinov2_registers, lightning, moco_v3, other, ours
from tests.models.backbones.builders import TINY, tiny_vit
from tests.paths import SHARED

IMAGE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
REGISTERS = 'vit_small_patch14_reg4_dinov2'
V2 = 'vit_small_patch14_dinov2'


@torch.no_grad()
def assert_same(vit, source):
    """Equal features of an image at the stored grid and at another one."""
    for image in (IMAGE, torch.randn(1, 3, 40, 24)):
        assert torch.equal(vit(image)[0], source(image)[0])


def save(obj, folder, name='weights.pth'):
    torch.save(obj, folder / name)
    return str(folder / name)


@pytest.mark.parametrize('layout', LAYOUTS)
def test_published_layouts(layout, tmp_path):
    source = tiny_vit()
    path = save(LAYOUTS[layout](source.state_dict()), tmp_path)
    if layout == 'half':
        source = source.half().float()
    vit = tiny_vit(seed=1, checkpoint=path)
    vit.init_weights()
    assert_same(vit, source)


@pytest.mark.parametrize(('arch', 'layout'), [(V2, dinov2), (V2, chunked), (V2, LAYOUTS['mmpretrain']),
                                              (REGISTERS, LAYOUTS['timm'])])
def test_layer_scale_networks(arch, layout, tmp_path):
    source, vit = tiny_vit(arch), tiny_vit(arch, seed=1)
    vit.load_pretrained(save(layout(source.state_dict()), tmp_path))
    assert_same(vit, source)


@torch.no_grad()
def test_dinov2_registers_fold_the_class_position_into_the_token(tmp_path):
    source, vit = tiny_vit(REGISTERS), tiny_vit(REGISTERS, seed=1)
    vit.load_pretrained(save(dinov2_registers(source.state_dict()), tmp_path))
    torch.testing.assert_close(vit(IMAGE)[0], source(IMAGE)[0])


@torch.no_grad()
def test_registers_are_dropped_only_on_request(tmp_path):
    source = tiny_vit(REGISTERS)
    expected = tiny_vit(V2)
    state = source.state_dict()
    reference = {key: state[key] for key in expected.state_dict() if key != 'pos_embed'}
    reference['pos_embed'] = torch.cat([torch.zeros(1, 1, 32), state['pos_embed']], dim=1)
    expected.load_state_dict(reference)
    for number, layout in enumerate((dict, dinov2_registers)):
        path = save(layout(state), tmp_path, f'{number}.pth')
        with pytest.raises(BackboneCheckpointError, match=r'It has register tokens.*drop_registers=True'):
            tiny_vit(V2).load_pretrained(path)
        vit = tiny_vit(V2, seed=1, drop_registers=True)
        assert 'register tokens dropped' in vit.load_pretrained(path).summary()
        torch.testing.assert_close(vit(IMAGE)[0], expected(IMAGE)[0])


@torch.no_grad()
def test_register_models_of_both_position_conventions(tmp_path):
    source = tiny_vit(REGISTERS)
    vit = tiny_vit(V2, seed=1, model_kwargs=dict(reg_tokens=4))  # positions for the class token and the registers
    vit.load_pretrained(save(dinov2_registers(source.state_dict()), tmp_path))
    torch.testing.assert_close(vit(IMAGE)[0], source(IMAGE)[0])
    back = tiny_vit(REGISTERS, seed=2)
    back.load_pretrained(save(vit.state_dict(), tmp_path))
    torch.testing.assert_close(back(IMAGE)[0], source(IMAGE)[0])


@pytest.mark.parametrize('layout', [ours, lightning, moco_v3, LAYOUTS['dino_full']])
def test_student_and_teacher_by_name(layout, tmp_path):
    source = tiny_vit()
    path = save(layout(source.state_dict()), tmp_path)
    teacher_is_source = layout is LAYOUTS['dino_full']
    for key in ('student', 'teacher'):
        vit = tiny_vit(seed=1, checkpoint=path, checkpoint_key=key)
        vit.init_weights()
        is_source = (key == 'teacher') == teacher_is_source
        expected = source.state_dict() if is_source else other(source.state_dict())
        assert torch.equal(vit.cls_token, expected['cls_token'])


def test_a_prefix_chooses_among_networks(tmp_path):
    source = tiny_vit()
    state = source.state_dict()
    both = {**{f'left.{key}': value for key, value in state.items()},
            **{f'right.{key}': value for key, value in other(state).items()}}
    path = save(both, tmp_path)
    with pytest.raises(BackboneCheckpointError, match=r"'left.', 'right.'; more than one fits.*checkpoint_key"):
        tiny_vit().load_pretrained(path)
    with pytest.raises(BackboneCheckpointError, match="none of them fits checkpoint_key='teacher'"):
        tiny_vit().load_pretrained(path, 'teacher')
    vit = tiny_vit(seed=1)
    assert vit.load_pretrained(path, 'left').prefix == 'left.'
    assert_same(vit, source)


def test_the_report(tmp_path):
    path = save(ours(tiny_vit().state_dict()), tmp_path)
    _, report = load_backbone_state(path, tiny_vit().network_spec)
    assert len(report.matched) == len(tiny_vit().state_dict())
    assert report.missing == report.unexpected == report.ignored == []
    assert (report.prefix, report.layout, report.grid) == ('state_dict.backbone.', 'timm', (4, 4))
    assert path in report.summary()
    assert f'{len(report.matched)} of {len(report.matched)} keys matched' in report.summary()
    _, report = load_backbone_state(LAYOUTS['mae'](tiny_vit().state_dict()), tiny_vit().network_spec)
    assert report.ignored == ['decoder_blocks.0.norm1.weight', 'decoder_embed.weight', 'decoder_pos_embed',
                              'mask_token']


def test_safetensors(tmp_path):
    source, vit = tiny_vit(), tiny_vit(seed=1)
    save_file({key: value.contiguous() for key, value in source.state_dict().items()}, tmp_path / 'w.safetensors')
    vit.load_pretrained(tmp_path / 'w.safetensors')
    assert_same(vit, source)


def test_pooled_timm_models_load_their_norm():
    source = timm.create_model('vit_tiny_patch16_224', num_classes=0, global_pool='avg', **TINY).eval()
    vit = tiny_vit(seed=1)
    vit.load_pretrained(source.state_dict())
    expected = source.fc_norm(source.forward_features(IMAGE))[:, 1:]
    torch.testing.assert_close(vit(IMAGE)[0].flatten(2).transpose(1, 2), expected)


@torch.no_grad()
def test_the_checkpoints_position_grid_is_taken(tmp_path):
    source = tiny_vit(model_kwargs=dict(img_size=56))
    path = save(source.state_dict(), tmp_path)
    vit = tiny_vit(seed=1)
    parameter = vit.pos_embed
    report = vit.load_pretrained(path)
    assert 'position grid 7x7 kept (the arch has 4x4)' in report.summary()
    assert vit.grid_size == (7, 7)
    assert vit.pos_embed is parameter  # an optimiser keeps it
    assert_same(vit, source)
    resumed = tiny_vit(seed=2)
    resumed.load_state_dict(vit.state_dict())
    assert_same(resumed, source)


def test_a_non_square_grid_of_the_same_shape(tmp_path):
    source = tiny_vit(model_kwargs=dict(img_size=(16, 48)))
    path = save(source.state_dict(), tmp_path)
    vit = tiny_vit(seed=1, model_kwargs=dict(img_size=(16, 48)))
    vit.load_pretrained(path)
    assert_same(vit, source)
    with pytest.raises(BackboneCheckpointError, match=r'no square grid of patches.*img_size=\(height, width\)'):
        tiny_vit().load_pretrained(path)


@torch.no_grad()
def test_rgb_weights_for_four_bands(tmp_path):
    source = tiny_vit()
    vit = tiny_vit(seed=1, in_chans=4)
    assert 'adapted from 3 to 4 bands' in vit.load_pretrained(save(source.state_dict(), tmp_path)).summary()
    grey = torch.randn(1, 1, 32, 32)
    torch.testing.assert_close(vit.patch_embed.proj.weight[:, 3], source.patch_embed.proj.weight[:, 0] * 0.75)
    assert vit(grey.expand(1, 4, 32, 32))[0].shape == (1, 32, 4, 4)


def without(state, pattern):
    return {key: value for key, value in state.items() if pattern not in key}


@pytest.mark.parametrize(('change', 'message'), [
    (lambda s: without(s, 'blocks.1.attn'),
     r'Missing \(4\): blocks.1.attn.qkv.weight, .*download it again.*change arch'),
    (lambda s: {**s, 'norm.weight': torch.full((32, ), torch.nan), 'norm.bias': s['norm.bias'] / 0},
     r'NaN or infinity in 2 weights: norm.weight, norm.bias\. It is damaged.*download it again'),
    (lambda s: without(s, 'blocks.2'), r'Missing \(12\).*It has 2 blocks, the config builds 3'),
    (lambda s: {**s, 'blocks.3.norm1.weight': torch.ones(32)}, r'Not in this backbone \(1\): blocks.3.norm1.weight'),
    (lambda s: tiny_vit(model_kwargs=dict(embed_dim=384)).state_dict(),
     r'looks like ViT-S \(width 384\), the config builds a ViT \(width 32\): change arch'),
    (lambda s: tiny_vit(model_kwargs=dict(patch_size=16)).state_dict(), 'patches are 16 px wide, the config builds 8'),
    (lambda s: tiny_vit(in_chans=5).state_dict(), 'trained on 5 bands: set in_chans=5'),
    (lambda s: tiny_vit(V2).state_dict(), r'It has LayerScale.*init_values=1e-5'),
    (lambda s: tiny_vit('deit_tiny_distilled_patch16_224').state_dict(), 'use a deit_\\*_distilled_\\* arch'),
    (lambda s: timm.create_model('resnet18').state_dict(), 'looks like a ResNet'),
    (lambda s: {'finetune_head.weight': torch.zeros(21, 32), 'finetune_head.bias': torch.zeros(21)},
     'looks like a head only'),
    (lambda s: {'layers.0.blocks.0.attn.relative_position_bias_table': torch.zeros(1)}, 'looks like a Swin'),
    (lambda s: {'stages.0.0.pwconv1.weight': torch.zeros(1)}, 'looks like a ConvNeXt .*Name a ViT checkpoint'),
    (lambda s: {'stages.0.blocks.1.conv_dw.weight': torch.zeros(1)}, 'looks like a ConvNeXt'),
    (lambda s: {f'encoder.{i}.weight': torch.zeros(1) for i in range(30)}, 'no key ends in patch_embed.proj.weight'),
    (lambda s: {'epoch': 3}, 'holds no tensors at all'),
    (lambda s: [1, 2], 'holds no tensors at all'),
])
def test_what_does_not_fit_is_refused_by_name(change, message, tmp_path):
    path = save(change(tiny_vit().state_dict()), tmp_path)
    vit = tiny_vit()
    before = {key: value.clone() for key, value in vit.state_dict().items()}
    with pytest.raises(BackboneCheckpointError, match=message) as error:
        vit.load_pretrained(path)
    assert path in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in vit.state_dict().items())


def test_a_checkpoint_that_was_not_read_is_not_forgotten(tmp_path):
    vit = DenseViT(model_kwargs=TINY, checkpoint=save(tiny_vit().state_dict(), tmp_path)).eval()
    with pytest.raises(RuntimeError, match=r'has not read it yet: call model.init_weights\(\)'):
        vit(IMAGE)
    vit.load_state_dict(tiny_vit(seed=4).state_dict())  # the checkpoint of a whole model brings its own backbone
    assert_same(vit, tiny_vit(seed=4))


def test_real_weights():
    path = SHARED / 'weights' / 'vit_tiny_patch16_224_in21k_in1k_fp16.safetensors'
    if not path.exists():
        pytest.skip(f'no {path}')
    vit = DenseViT('vit_tiny_patch16_224')
    report = vit.load_pretrained(path)
    assert len(report.matched) == 150
    assert report.ignored == report.reshaped == []
    assert (vit.embed_dims, vit.num_heads, vit.grid_size) == (192, 3, (14, 14))


def hub_state(width, patch, grid, is_v2):
    """Every tensor of a DINO or DINOv2 hub network of 12 blocks, by name and shape."""
    layers = {'norm1': (width, ), 'attn.qkv': (3 * width, width), 'attn.proj': (width, width), 'norm2': (width, ),
              'mlp.fc1': (4 * width, width), 'mlp.fc2': (width, 4 * width)}
    shapes = {'cls_token': (1, 1, width), 'pos_embed': (1, 1 + grid**2, width), 'norm.weight': (width, ),
              'norm.bias': (width, ), 'patch_embed.proj.weight': (width, 3, patch, patch),
              'patch_embed.proj.bias': (width, )}
    for block in range(12):
        shapes |= {f'blocks.{block}.{name}.weight': shape for name, shape in layers.items()}
        shapes |= {f'blocks.{block}.{name}.bias': shape[:1] for name, shape in layers.items()}
        shapes |= {f'blocks.{block}.ls{number}.gamma': (width, ) for number in (1, 2) if is_v2}
    if is_v2:
        shapes['mask_token'] = (1, width)
    return {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize(('arch', 'width', 'patch', 'grid', 'is_v2'), [
    ('vit_small_patch8_224', 384, 8, 28, False), ('vit_base_patch8_224', 768, 8, 28, False),
    ('vit_small_patch16_224', 384, 16, 14, False), ('vit_base_patch16_224', 768, 16, 14, False),
    ('vit_small_patch14_dinov2', 384, 14, 37, True), ('vit_base_patch14_dinov2', 768, 14, 37, True)])
def test_the_hub_networks_of_dino_and_dinov2(arch, width, patch, grid, is_v2):
    with torch.device('meta'):
        spec = DenseViT(arch).network_spec
    state, report = load_backbone_state(hub_state(width, patch, grid, is_v2), spec)
    assert state.keys() == spec.shapes.keys()
    assert report.layout == ('DINOv2' if is_v2 else 'timm')
    assert report.grid == (grid, grid)
    assert report.reshaped == []
    assert report.ignored == (['mask_token'] if is_v2 else [])
