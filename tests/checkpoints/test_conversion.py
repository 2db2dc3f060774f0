"""Conversions between layouts: bit-exact round trips, and the same features in each program's own network."""

import pytest
import timm
import torch
from mmpretrain.models.backbones import VisionTransformer as PretrainViT
from mmseg.models.backbones import VisionTransformer as SegViT

from leopart_mm.checkpoints.conversion import TARGETS, convert_checkpoint, flat_tensors
from leopart_mm.models.backbones import BackboneCheckpointError, DenseViT
from leopart_mm.registry import MODELS
from tests.checkpoints.layouts import LAYOUTS, chunked, dinov2, dinov2_registers, prefixed
from tests.models.backbones.builders import TINY, tiny_vit

IMAGE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
PLAIN = tiny_vit().state_dict()
V2 = tiny_vit('vit_small_patch14_dinov2').state_dict()
REGISTERS = tiny_vit('vit_small_patch14_reg4_dinov2').state_dict()


def random(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def heads(seed=0):
    """Leopart's heads: three Linear layers and prototypes."""
    shapes = {'projection_head.0.weight': (48, 32), 'projection_head.0.bias': (48, ),
              'projection_head.2.weight': (48, 48), 'projection_head.2.bias': (48, ),
              'projection_head.4.weight': (16, 48), 'projection_head.4.bias': (16, ), 'prototypes.weight': (9, 16)}
    return {key: random(*shape, seed=seed + number) for number, (key, shape) in enumerate(shapes.items())}


def single_head():
    """The head of one Linear layer, which carries no layer number in published files."""
    return {'projection_head.weight': random(16, 32, seed=1), 'projection_head.bias': random(16, seed=2)}


def leopart(seed=0):
    return prefixed({**tiny_vit(seed=seed).state_dict(), **heads(seed)}, 'model.')


def leopart_pair():
    teacher = prefixed({**tiny_vit(seed=5).state_dict(), **heads(50)}, 'teacher.')
    return {'epoch': 3, 'optimizer_states': [{'state': {0: {'exp_avg': torch.ones(3)}}}],
            'state_dict': {**leopart(), **teacher}}


def classified():
    return {**PLAIN, 'head.weight': random(7, 32, seed=1), 'head.bias': random(7, seed=2)}


def neco():
    return {**PLAIN, **heads()}


# Files that hold nothing but what their layout has a place for, by the target that writes them.
SOURCES = {
    'leopart': leopart,
    'leopart with teacher': leopart_pair,
    'neco': neco,
    'neco single layer': lambda: {**PLAIN, **single_head()},
    'leopart single layer': lambda: prefixed({**PLAIN, **single_head()}, 'model.'),
    'dino': lambda: dict(PLAIN),
    'timm': classified,
    'timm v2': lambda: dict(V2),
    'timm registers': lambda: dict(REGISTERS),
    'mmseg': lambda: convert_checkpoint(PLAIN, 'mmseg').checkpoint,
    'mmpretrain': lambda: convert_checkpoint(classified(), 'mmpretrain').checkpoint,
    'dinov2': lambda: dinov2(V2),
    'leopart_mm': lambda: convert_checkpoint(leopart_pair(), 'leopart_mm').checkpoint,
}
# Where every tensor of the source has a place.
ROUND_TRIPS = [
    ('leopart', 'leopart_mm'), ('leopart', 'neco'), ('leopart with teacher', 'leopart_mm'), ('neco', 'leopart'),
    ('neco', 'leopart_mm'), ('neco single layer', 'leopart_mm'), ('neco single layer', 'leopart'),
    ('leopart single layer', 'neco'), ('leopart_mm', 'leopart'), ('timm', 'mmpretrain'), ('mmpretrain', 'timm'),
    *[(source, target) for source in ('dino', 'mmseg') for target in TARGETS if not TARGETS[target].needs],
    *[('timm v2', target) for target in ('mmpretrain', 'dinov2', 'neco', 'leopart_mm')],
    ('timm registers', 'leopart_mm'), ('dinov2', 'mmpretrain'), ('dinov2', 'timm'),
]


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].dtype == value.dtype, key
        assert torch.equal(found[key], value), key


@pytest.mark.parametrize(('source', 'target'), ROUND_TRIPS)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_round_trips_are_bit_exact(source, target, dtype):
    checkpoint = SOURCES[source]()
    original = {key: value.to(dtype) for key, value in flat_tensors(checkpoint).items()}
    there = convert_checkpoint(original, target)
    back = convert_checkpoint(there.checkpoint, source.split()[0])
    assert {*there.dropped, *back.dropped} <= {'mask_token'}  # written as zeros, which it is here
    assert there.num_kept == len(original.keys() - {'mask_token'})
    assert_equal(flat_tensors(back.checkpoint), original)


def test_a_head_of_a_single_layer_is_our_layer_0():
    ours = convert_checkpoint(SOURCES['neco single layer'](), 'leopart_mm').checkpoint['state_dict']
    assert {key: tuple(value.shape) for key, value in ours.items() if key.startswith('neck.')} == {
        'neck.mlp.0.weight': (16, 32), 'neck.mlp.0.bias': (16, )}
    assert torch.equal(ours['neck.mlp.0.weight'], single_head()['projection_head.weight'])


def test_the_keys_of_a_leopart_file_become_ours():
    source = leopart_pair()
    ours = convert_checkpoint(source, 'leopart_mm').checkpoint['state_dict']
    for root, published in (('', 'model.'), ('teacher.', 'teacher.')):
        for key, value in heads().items():
            name = key.replace('projection_head', 'neck.mlp').replace('prototypes', 'head.prototypes')
            assert torch.equal(ours[root + name], source['state_dict'][published + key])
            assert ours[root + name].shape == value.shape
        assert torch.equal(ours[f'{root}backbone.blocks.2.mlp.fc1.bias'],
                           source['state_dict'][f'{published}blocks.2.mlp.fc1.bias'])


@pytest.mark.parametrize('layout', [*LAYOUTS, 'v2', 'chunked'])
def test_every_published_file_becomes_timms(layout):
    source = V2 if layout in ('v2', 'chunked') else PLAIN
    make = {'v2': dinov2, 'chunked': chunked}.get(layout) or LAYOUTS[layout]
    found = convert_checkpoint(make(source), 'timm').checkpoint
    expected = {key: value.half() for key, value in source.items()} if layout == 'half' else source
    assert_equal({key: value for key, value in found.items() if not key.startswith('head.')}, expected)


def features_of_timm(state, arch='vit_tiny_patch16_224'):
    vit = tiny_vit(arch, seed=1)
    vit.load_state_dict(state)
    return vit(IMAGE)[0]


@torch.no_grad()
@pytest.mark.parametrize('layer_scale', [False, True])
def test_mmpretrain_computes_the_same(layer_scale):
    source = V2 if layer_scale else PLAIN
    network = PretrainViT(
        arch=dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=128), img_size=32, patch_size=8,
        out_type='featmap', layer_scale_init_value=0.1 if layer_scale else 0.)
    network.eval()  # returns None
    state = convert_checkpoint(source, 'mmpretrain').checkpoint['state_dict']
    network.load_state_dict({key.removeprefix('backbone.'): value for key, value in state.items()})
    expected = features_of_timm(source, 'vit_small_patch14_dinov2' if layer_scale else 'vit_tiny_patch16_224')
    torch.testing.assert_close(network(IMAGE)[0], expected)


@torch.no_grad()
def test_mmseg_computes_the_same():
    network = SegViT(img_size=(32, 32), patch_size=8, embed_dims=32, num_layers=3, num_heads=2, final_norm=True,
                     patch_bias=True, norm_cfg=dict(type='LN', eps=1e-6))
    network.eval()
    state = convert_checkpoint(PLAIN, 'mmseg').checkpoint['state_dict']
    network.load_state_dict({key.removeprefix('backbone.'): value for key, value in state.items()})
    torch.testing.assert_close(network(IMAGE)[0], features_of_timm(PLAIN))


def test_timm_loads_backbone_and_classifier_strictly():
    network = timm.create_model('vit_tiny_patch16_224', num_classes=7, **TINY)
    network.load_state_dict(convert_checkpoint(SOURCES['mmpretrain'](), 'timm').checkpoint)


@torch.no_grad()
def test_registers_go_to_dinov2_and_back_as_the_same_network():
    there = convert_checkpoint(REGISTERS, 'dinov2').checkpoint
    assert there['pos_embed'].shape == (1, 17, 32)
    assert torch.equal(there['register_tokens'], REGISTERS['reg_token'])
    assert not there['pos_embed'][:, 0].any()
    assert_equal(convert_checkpoint(there, 'timm').checkpoint, REGISTERS)
    published = dinov2_registers(REGISTERS)
    assert_equal(convert_checkpoint(published, 'dinov2').checkpoint, published)
    for target in ('timm', 'leopart_mm'):
        vit = DenseViT('vit_small_patch14_reg4_dinov2', TINY).eval()
        vit.load_pretrained(convert_checkpoint(published, target).checkpoint)
        torch.testing.assert_close(vit(IMAGE)[0], features_of_timm(REGISTERS, 'vit_small_patch14_reg4_dinov2'))


def test_a_class_position_is_added_where_positions_are_for_patches_only():
    patches_only = {**PLAIN, 'pos_embed': PLAIN['pos_embed'][:, 1:]}
    found = convert_checkpoint(patches_only, 'dino').checkpoint['pos_embed']
    assert found.shape == (1, 17, 32)
    assert torch.equal(found[:, 1:], PLAIN['pos_embed'][:, 1:])
    assert not found[:, 0].any()


def test_gated_mlps_get_each_programs_names():
    gated = {key: torch.cat([value, value + 1]) if '.mlp.fc1.' in key else value for key, value in V2.items()}
    found = convert_checkpoint(gated, 'dinov2').checkpoint
    assert torch.equal(found['blocks.1.mlp.w12.weight'], gated['blocks.1.mlp.fc1.weight'])
    assert torch.equal(found['blocks.1.mlp.w3.bias'], gated['blocks.1.mlp.fc2.bias'])
    assert_equal(convert_checkpoint(found, 'timm').checkpoint, gated)
    found = convert_checkpoint(gated, 'mmpretrain').checkpoint['state_dict']
    assert 'backbone.layers.1.ffn.w12.weight' in found
    assert_equal(convert_checkpoint(found, 'timm').checkpoint, gated)


def test_which_network_is_taken():
    source = leopart_pair()
    student, teacher = tiny_vit().state_dict(), tiny_vit(seed=5).state_dict()
    assert_equal(convert_checkpoint(source, 'timm').checkpoint, student)
    assert_equal(convert_checkpoint(source, 'timm', 'student').checkpoint, student)
    assert_equal(convert_checkpoint(source, 'timm', 'teacher').checkpoint, teacher)
    assert_equal(convert_checkpoint(source, 'leopart', 'teacher').checkpoint,
                 prefixed({**teacher, **heads(50)}, 'model.'))
    assert_equal(convert_checkpoint(LAYOUTS['dino_full'](PLAIN), 'leopart').checkpoint, prefixed(PLAIN, 'model.'))


def test_what_has_no_place_is_named():
    dropped = convert_checkpoint(leopart_pair(), 'mmseg').dropped
    assert dropped == [*(f'state_dict.model.{key}' for key in heads()), 'state_dict.teacher.* (the teacher)']
    dropped = convert_checkpoint(LAYOUTS['dino_full'](PLAIN), 'timm').dropped
    assert dropped == ['teacher.head.mlp.0.weight', 'teacher.head.last_layer.weight_g']
    assert convert_checkpoint(dinov2(V2), 'timm').dropped == ['mask_token']
    segmentor = convert_checkpoint(PLAIN, 'mmseg').checkpoint
    segmentor['state_dict']['decode_head.conv_seg.weight'] = torch.zeros(7, 32, 1, 1)
    assert convert_checkpoint(segmentor, 'dino').dropped == ['state_dict.decode_head.conv_seg.weight']


@pytest.mark.parametrize(('state', 'target', 'message'), [
    (V2, 'mmseg', r"the file is a ViT with LayerScale, which the networks of 'mmseg'.*timm, dinov2, neco, mmpretrain"),
    (REGISTERS, 'mmpretrain', r'registers.*Take one of: timm, dinov2, neco, leopart_mm'),
    (tiny_vit('deit_tiny_distilled_patch16_224').state_dict(), 'dino', 'a distillation token'),
])
def test_networks_that_the_target_cannot_run_are_refused(state, target, message):
    with pytest.raises(BackboneCheckpointError, match=message):
        convert_checkpoint(state, target, name='the file')


def test_an_unknown_target_names_the_known():
    with pytest.raises(ValueError, match=r"no layout 'keras'; there are: timm, dino, dinov2, leopart"):
        convert_checkpoint(PLAIN, 'keras')


NECO_ARCHES = {
    'dinov2': ('vit_small_patch14_dinov2', {}),
    'dinov2r': ('vit_small_patch14_reg4_dinov2', dict(class_position=True)),
    'dinov2r_xr': ('vit_small_patch14_dinov2', dict(drop_registers=True)),
}


def neco_model(name, seed):
    """A NeCo whose every parameter is random and whose teacher differs from its student."""
    arch, options = NECO_ARCHES[name]
    model = MODELS.build(dict(
        type='leopart_mm.NeCo',
        backbone=dict(type='leopart_mm.DenseViT', arch=arch, model_kwargs=TINY, **options),
        neck=dict(type='leopart_mm.ProjectionHead', in_channels=32, hidden_channels=48, out_channels=16),
        head=dict(type='leopart_mm.NeCoHead', loss=dict(
            type='leopart_mm.NeCoLoss', kernel=3, queue=dict(length=8, embed_dims=16)))))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1 + (parameter.ndim == 1))
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize('name', NECO_ARCHES)
@pytest.mark.parametrize('role', ['student', 'teacher'])
def test_a_neco_run_goes_to_the_dinov2_hub_and_timm(name, role):
    model = neco_model(name, seed=4)
    source = dict(meta=dict(iter=3), state_dict=model.state_dict())
    network = model.backbone if role == 'student' else model.teacher.backbone
    expected = network(IMAGE)[0]
    arch = NECO_ARCHES[name][0]
    hub = convert_checkpoint(source, 'dinov2', role).checkpoint
    # The keys of the hub's networks, all of them.
    wanted = {'mask_token', 'cls_token', 'pos_embed', 'patch_embed.proj.weight', 'patch_embed.proj.bias', 'norm.weight',
              'norm.bias'}
    wanted |= {'register_tokens'} if 'reg' in arch else set()
    assert {key for key in hub if not key.startswith('blocks.')} == wanted
    assert {key.split('.', 2)[2] for key in hub if key.startswith('blocks.')} == {
        f'{layer}.{part}' for layer in ('norm1', 'attn.qkv', 'attn.proj', 'norm2', 'mlp.fc1', 'mlp.fc2')
        for part in ('weight', 'bias')} | {'ls1.gamma', 'ls2.gamma'}
    assert hub['pos_embed'].shape[1] == 1 + 16
    if 'reg' in arch:
        assert torch.equal(hub['pos_embed'], network.pos_embed)
        assert torch.equal(hub['register_tokens'], network.reg_token)
    again = DenseViT(arch, TINY).eval()
    again.load_pretrained(hub)
    torch.testing.assert_close(again(IMAGE)[0], expected)
    vit = timm.create_model(arch, num_classes=0, **TINY).eval()
    vit.load_state_dict(convert_checkpoint(source, 'timm', role).checkpoint)
    tokens = vit.forward_features(IMAGE)[:, network.num_prefix_tokens:]
    torch.testing.assert_close(tokens, expected.flatten(2).mT)


@torch.no_grad()
@pytest.mark.parametrize('name', NECO_ARCHES)
def test_released_neco_files_fill_a_model(name):
    """Bare keys as DINOv2's, mask token and projection head beside them; XR files hold no registers."""
    source = neco_model(name, seed=4)
    released = convert_checkpoint(dict(state_dict=source.state_dict()), 'neco', 'student').checkpoint
    assert released['mask_token'].shape == (1, 32)
    assert ('register_tokens' in released) == (name == 'dinov2r')
    assert 'projection_head.4.bias' in released
    arch, options = NECO_ARCHES[name]
    vit = DenseViT(arch, TINY, **options).eval()
    vit.load_pretrained(released)
    torch.testing.assert_close(vit(IMAGE)[0], source.backbone(IMAGE)[0])
    ours = convert_checkpoint(released, 'leopart_mm').checkpoint['state_dict']
    for key, value in source.neck.state_dict().items():
        assert torch.equal(ours[f'neck.{key}'], value)


@torch.no_grad()
def test_register_weights_go_on_without_registers():
    published = dinov2_registers(REGISTERS)
    model = neco_model('dinov2r_xr', seed=4)
    model.backbone.load_pretrained(published)
    model.reset_teacher()
    for network in (model.backbone, model.teacher.backbone):
        assert network.reg_token is None
        assert torch.equal(network.pos_embed, published['pos_embed'])
        assert torch.equal(network.cls_token, published['cls_token'])
    with pytest.raises(BackboneCheckpointError, match='drop_registers=True'):
        DenseViT('vit_small_patch14_dinov2', TINY).load_pretrained(published)
