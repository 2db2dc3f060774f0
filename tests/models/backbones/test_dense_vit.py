"""The forward pass, against timm's own; options; freezing."""

import copy

import pytest
import timm
import torch
from torch import nn

from leopart_mm.models.backbones import DenseViT
from leopart_mm.registry import MODELS
from tests.models.backbones.builders import TINY, flat_patches, tiny_vit

IMAGE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
ARCHS = ['vit_tiny_patch16_224', 'vit_small_patch14_dinov2', 'vit_small_patch14_reg4_dinov2',
         'deit_tiny_distilled_patch16_224', 'vit_base_patch16_clip_224', 'vit_base_patch16_siglip_gap_224']


def timm_twin(vit: DenseViT, arch: str, **kwargs) -> nn.Module:
    twin = timm.create_model(arch, num_classes=0, **{**TINY, **kwargs}).eval()
    missing, unexpected = twin.load_state_dict(vit.state_dict(), strict=False)
    assert not missing
    assert not unexpected
    return twin


@pytest.mark.parametrize('arch', ARCHS)
@torch.no_grad()
def test_equals_timm(arch):
    vit = tiny_vit(arch)
    tokens = timm_twin(vit, arch).forward_features(IMAGE)
    features = vit.forward_dense(IMAGE)
    torch.testing.assert_close(flat_patches(features.maps[0]), tokens[:, vit.num_prefix_tokens:])
    torch.testing.assert_close(flat_patches(vit(IMAGE)[0]), tokens[:, vit.num_prefix_tokens:])
    if vit.cls_token is None:
        assert features.cls_token is None
    else:
        torch.testing.assert_close(features.cls_token, tokens[:, 0])


@torch.no_grad()
def test_another_size_equals_timm_in_timm_mode():
    vit = tiny_vit('vit_small_patch14_reg4_dinov2', pos_interp='timm')
    twin = timm_twin(vit, 'vit_small_patch14_reg4_dinov2', dynamic_img_size=True)
    image = torch.randn(1, 3, 48, 24)
    (feature_map, ) = vit(image)
    assert feature_map.shape == (1, 32, 6, 3)
    torch.testing.assert_close(flat_patches(feature_map), twin.forward_features(image)[:, 5:])


@torch.no_grad()
def test_intermediate_maps_equal_timm():
    vit = tiny_vit(out_indices=(0, -2, 2))
    twin = timm_twin(vit, 'vit_tiny_patch16_224')
    assert vit.out_indices == (0, 1, 2)
    for norm, final_norm in ((True, True), (False, False)):
        vit.final_norm = final_norm
        expected = twin.forward_intermediates(IMAGE, indices=[0, 1, 2], norm=norm, intermediates_only=True)
        for ours, theirs, dense in zip(vit(IMAGE), expected, vit.forward_dense(IMAGE).maps, strict=True):
            torch.testing.assert_close(ours, theirs)
            torch.testing.assert_close(dense, theirs)
    vit.final_norm = 'last'
    raw = twin.forward_intermediates(IMAGE, indices=[0, 1, 2], norm=False, intermediates_only=True)
    torch.testing.assert_close(vit(IMAGE)[1], raw[1])
    torch.testing.assert_close(vit(IMAGE)[2], expected_last(twin))


def expected_last(twin):
    return twin.forward_intermediates(IMAGE, indices=[2], norm=True, intermediates_only=True)[0]


@torch.no_grad()
def test_maps_come_in_the_order_asked_for():
    vit = tiny_vit(out_indices=(2, 0))
    last, first = vit(IMAGE)
    torch.testing.assert_close(first, vit.forward_dense(IMAGE, out_indices=[0]).maps[0])
    torch.testing.assert_close(last, vit.forward_dense(IMAGE, out_indices=[-1]).maps[0])


def test_blocks_after_the_last_map_are_not_run():
    vit = tiny_vit(out_indices=(0, ))
    vit.blocks[1].forward = None  # calling it would fail
    assert vit(IMAGE)[0].shape == (2, 32, 4, 4)


@pytest.mark.parametrize('arch', ['vit_tiny_patch16_224', 'vit_small_patch14_reg4_dinov2'])
@torch.no_grad()
def test_attention_equals_timms_unfused_attention(arch):
    vit = tiny_vit(arch)
    recorded = {}
    attention = vit.blocks[-1].attn
    attention.fused_attn = False
    attention.attn_drop.register_forward_hook(lambda module, inputs, output: recorded.update(map=output))
    ours = vit.forward_dense(IMAGE, cls_attention=True).cls_attention
    assert ours.shape == (2, 2, 16)
    torch.testing.assert_close(ours, recorded['map'][:, :, 0, vit.num_prefix_tokens:])
    assert (ours.sum(-1) < 1).all()  # the class token's share (and the registers') is missing


@torch.no_grad()
def test_qkv_of_a_block_equal_the_projection_of_its_input():
    vit = tiny_vit('vit_small_patch14_reg4_dinov2')
    recorded = {}
    vit.blocks[1].attn.qkv.register_forward_hook(lambda module, inputs, output: recorded.setdefault('qkv', output))
    features = vit.forward_dense(IMAGE, qkv_block=1)
    qkv = recorded['qkv'].reshape(2, 21, 3, 2, 16)
    for i, name in enumerate('qkv'):
        ours = getattr(features, name)
        assert ours.shape == (2, 2, 16, 16)
        for head in range(2):
            torch.testing.assert_close(ours[:, head], qkv[:, 5:, i, head])
    assert features.cls_attention is None
    assert vit.forward_dense(IMAGE).q is None


@torch.no_grad()
@pytest.mark.parametrize(('arch', 'prefix'), [('vit_small_patch14_reg4_dinov2', 5), ('vit_small_patch14_dinov2', 1)])
def test_class_query_and_keys_of_a_block_need_no_block_behind_it(arch, prefix):
    vit = tiny_vit(arch)
    recorded, run = {}, []
    vit.blocks[1].attn.qkv.register_forward_hook(lambda module, inputs, output: recorded.update(qkv=output))
    whole = vit.forward_dense(IMAGE, qkv_block=1, class_query_block=-2)
    assert vit.num_layers == 3
    for index, block in enumerate(vit.blocks):
        block.register_forward_hook(lambda module, inputs, output, index=index: run.append(index))
    alone = vit.forward_dense(IMAGE, (), class_query_block=1)
    assert run == [0]
    assert (alone.maps, alone.cls_token, alone.q, alone.grid) == ((), None, None, (4, 4))
    q, k, _ = recorded['qkv'].unflatten(2, (3, 2, 16)).transpose(1, 3).unbind(2)
    for features in (whole, alone):
        torch.testing.assert_close(features.class_q, q[:, :, :1])
        torch.testing.assert_close(features.token_k, k[:, :, [0, *range(prefix, prefix + 16)]])
    assert torch.equal(whole.q, q[:, :, prefix:])
    assert len(whole.maps) == 1


def test_nothing_asked_for_runs_no_block():
    vit = tiny_vit()
    vit.blocks[0].register_forward_hook(lambda *args: pytest.fail('block 0 was run'))
    assert vit.forward_dense(IMAGE, ()).maps == ()


@torch.no_grad()
@pytest.mark.parametrize('num_heads', [1, 2, 4])
def test_maps_of_keys(num_heads):
    """STEGO's feature type KK: the second third of the qkv projection, heads side by side, no norm."""
    vit = tiny_vit(features='keys', out_indices=(0, 2), model_kwargs=dict(num_heads=num_heads))
    projected = {}
    for index in (0, 2):
        vit.blocks[index].attn.qkv.register_forward_hook(
            lambda module, tokens, output, index=index: projected.update({index: output[:, 1:, 32:64]}))
    image = torch.randn(2, 3, 24, 40)
    for maps in (vit(image), vit.forward_dense(image).maps):
        assert [tuple(one.shape) for one in maps] == [(2, 32, 3, 5)] * 2
        for index, one in zip((0, 2), maps, strict=True):
            assert torch.equal(flat_patches(one), projected[index])
    with pytest.raises(ValueError, match="features='values' is unknown"):
        tiny_vit(features='values')


@pytest.mark.parametrize(('mode', 'grid'), [('pad', (5, 4)), ('resize', (5, 4)), ('drop', (4, 3))])
def test_grid_of_an_indivisible_image(mode, grid):
    vit = tiny_vit(size_mode=mode)
    features = vit.forward_dense(torch.randn(1, 3, 37, 31), cls_attention=True, qkv_block=-1)
    assert features.grid == grid
    assert features.maps[0].shape == (1, 32, *grid)
    assert features.cls_attention.shape == (1, 2, grid[0] * grid[1])
    assert features.k.shape == (1, 2, grid[0] * grid[1], 16)


def test_a_padded_image_equals_one_padded_by_hand():
    vit = tiny_vit()
    image = torch.randn(1, 3, 30, 29)
    by_hand = torch.zeros(1, 3, 32, 32)
    by_hand[..., :30, :29] = image
    torch.testing.assert_close(vit(image)[0], vit(by_hand)[0])


def test_a_non_square_stored_grid():
    vit = tiny_vit(model_kwargs=dict(img_size=(16, 48)))
    assert vit.grid_size == (2, 6)
    assert vit(torch.randn(1, 3, 16, 48))[0].shape == (1, 32, 2, 6)
    assert vit(torch.randn(1, 3, 32, 24))[0].shape == (1, 32, 4, 3)


def test_attributes_and_parameter_names():
    vit = tiny_vit('vit_small_patch14_reg4_dinov2')
    assert (vit.embed_dims, vit.patch_size, vit.num_heads, vit.num_layers, vit.num_prefix_tokens) == (32, 8, 2, 3, 5)
    assert vit.state_dict().keys() == timm.create_model(
        'vit_small_patch14_reg4_dinov2', num_classes=0, **TINY).state_dict().keys()
    assert MODELS.build(dict(type='leopart_mm.DenseViT', model_kwargs=TINY)).embed_dims == 32


def test_four_bands():
    assert tiny_vit(in_chans=4)(torch.randn(1, 4, 32, 32))[0].shape == (1, 32, 4, 4)


def test_recomputing_gives_the_same_gradients():
    plain, recomputing = tiny_vit(with_cp=False), tiny_vit(with_cp=True)
    for vit in (plain, recomputing):
        vit.train()
        vit(IMAGE)[0].square().sum().backward()
    for (name, a), b in zip(plain.named_parameters(), recomputing.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)


def test_recomputing_repeats_the_drop_path():
    vit = tiny_vit(with_cp=True, drop_path_rate=0.5).train()
    twin = copy.deepcopy(vit)
    twin.with_cp = False
    for network in (vit, twin):
        torch.manual_seed(5)
        network(IMAGE)[0].square().sum().backward()
    torch.testing.assert_close(vit.patch_embed.proj.weight.grad, twin.patch_embed.proj.weight.grad)


def test_drop_path_grows_linearly_and_is_off_in_evaluation():
    vit = tiny_vit(drop_path_rate=0.2)
    rates = [getattr(block.drop_path1, 'drop_prob', 0.) for block in vit.blocks]
    assert rates == pytest.approx([0., 0.1, 0.2])
    assert torch.equal(vit(IMAGE)[0], vit(IMAGE)[0])
    vit.train()
    torch.manual_seed(0)
    assert not torch.equal(vit(IMAGE)[0], vit(IMAGE)[0])


@pytest.mark.parametrize('stages', [-1, 0, 1, 3])
def test_frozen_stages(stages):
    vit = tiny_vit(frozen_stages=stages, drop_path_rate=0.3).train()
    vit(IMAGE)
    for name, parameter in vit.named_parameters():
        depth, _ = vit.get_layer_depth(name, prefix='')
        frozen = stages == 3 if name.startswith('norm.') else depth <= stages
        assert parameter.requires_grad != frozen, name
    assert [block.training for block in vit.blocks] == [i >= stages for i in range(3)]
    assert vit.patch_embed.training == (stages < 0)
    assert vit.norm.training == (stages < 3)


@pytest.mark.parametrize(('blocks', 'trained'), [(-1, {2}), (1, {1, 2}), (0, {0, 1, 2}), ([0, -1], {0, 2})])
def test_trainable_blocks(blocks, trained):
    vit = tiny_vit(trainable_blocks=blocks).train()
    for name, parameter in vit.named_parameters():
        depth, _ = vit.get_layer_depth(name, prefix='')
        assert parameter.requires_grad == (name.startswith('blocks.') and depth - 1 in trained), name
    assert {index for index, block in enumerate(vit.blocks) if block.training} == trained
    assert not vit.norm.training


@torch.no_grad()
def test_class_position_is_the_same_network_with_one_parameter_more():
    arch = 'vit_small_patch14_reg4_dinov2'
    plain, ours = tiny_vit(arch), tiny_vit(arch, seed=1, class_position=True)
    ours.load_pretrained(plain.state_dict())
    assert ours.pos_embed.shape[1] == plain.pos_embed.shape[1] + 1
    for image in (IMAGE, torch.randn(1, 3, 48, 40)):
        torch.testing.assert_close(ours(image)[0], plain(image)[0])
    ours.pos_embed[:, 0] += 0.5
    ours.cls_token -= 0.5
    torch.testing.assert_close(ours(IMAGE)[0], plain(IMAGE)[0])
    back = tiny_vit(arch, seed=2)
    back.load_pretrained(ours.state_dict())
    torch.testing.assert_close(back(IMAGE)[0], plain(IMAGE)[0])
    # Networks that have a class position anyway are left as they are.
    assert tiny_vit(class_position=True).pos_embed.shape == tiny_vit().pos_embed.shape


def test_a_frozen_backbone_is_deterministic_in_training():
    vit = tiny_vit(frozen_stages=3, drop_path_rate=0.5).train()
    assert torch.equal(vit(IMAGE)[0], vit(IMAGE)[0])
    assert not vit(IMAGE)[0].requires_grad


def test_layer_depths():
    vit = tiny_vit('vit_small_patch14_reg4_dinov2')
    depths = {name: vit.get_layer_depth(f'backbone.{name}') for name, _ in vit.named_parameters()}
    assert {total for _, total in depths.values()} == {5}
    for name in ('cls_token', 'pos_embed', 'reg_token', 'patch_embed.proj.weight'):
        assert depths[name][0] == 0
    assert depths['blocks.0.norm1.weight'][0] == 1
    assert depths['blocks.2.mlp.fc2.bias'][0] == 3
    assert depths['norm.weight'][0] == 3  # as in timm
    assert vit.get_layer_depth('decode_head.conv_seg.weight') == (4, 5)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_is_close_and_attention_is_float32(dtype):
    vit = tiny_vit()
    exact = vit.forward_dense(IMAGE, cls_attention=True)
    with torch.autocast('cpu', dtype=dtype):
        rough = vit.forward_dense(IMAGE, cls_attention=True, qkv_block=0)
    assert rough.cls_attention.dtype == torch.float32
    scale = exact.maps[0].abs().max().item()
    torch.testing.assert_close(rough.maps[0].float(), exact.maps[0], atol=0.05 * scale, rtol=0)
    torch.testing.assert_close(rough.cls_attention, exact.cls_attention, atol=0.02, rtol=0)


def test_half_precision_weights_at_another_size():
    vit = tiny_vit().bfloat16()
    assert vit(torch.randn(1, 3, 40, 24).bfloat16())[0].dtype == torch.bfloat16


@pytest.mark.slow
def test_compiles():
    vit = tiny_vit()
    compiled = torch.compile(vit, backend='aot_eager', fullgraph=True)
    for side in (32, 40, 56):  # the second size makes shapes dynamic
        image = torch.randn(1, 3, side, side)
        torch.testing.assert_close(compiled(image)[0], vit(image)[0])


@pytest.mark.parametrize(('arguments', 'message'), [
    (dict(arch='vit_smal_patch16_224'), 'is no timm model. Close names: .*vit_small_patch16_224'),
    (dict(arch='resnet18', model_kwargs=None), 'is a ResNet, not a timm VisionTransformer or Eva'),
    (dict(arch='vit_tiny_r_s16_p8_224', model_kwargs=None), 'HybridEmbed'),
    (dict(model_kwargs=dict(colour=3)), 'could not build.*colour'),
    (dict(model_kwargs=dict(TINY, patch_drop_rate=0.5)), 'patch_drop_rate > 0 removes patches'),
    (dict(model_kwargs=dict(TINY, patch_size=(8, 16))), 'needs square ones'),
    (dict(pos_interp='dinov2'), "Allowed: 'dino'"),
    (dict(size_mode='crop'), "Allowed: 'pad'"),
    (dict(final_norm='first'), "Allowed: True, False, 'last'"),
    (dict(model_kwargs=TINY, out_indices=(3, )), 'Block 3 is out of range.*-3 to 2'),
    (dict(model_kwargs=TINY, out_indices=()), 'out_indices is empty'),
    (dict(model_kwargs=TINY, trainable_blocks=3), 'Block 3 is out of range.*-3 to 2'),
    (dict(model_kwargs=TINY, trainable_blocks=[5]), 'Block 5 is out of range.*-3 to 2'),
    (dict(model_kwargs=TINY, trainable_blocks=1, frozen_stages=1), 'both say what is trained'),
    (dict(model_kwargs=TINY, frozen_stages=4), r'frozen_stages=4 is out of range; -1 \(nothing\) to 3'),
])
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DenseViT(**{'model_kwargs': TINY, **arguments})


def test_attention_of_networks_that_have_none():
    with pytest.raises(ValueError, match='no class token and no head that pools'):
        tiny_vit('vit_base_patch16_siglip_gap_224').forward_dense(IMAGE, cls_attention=True)
    with pytest.raises(TypeError, match='ParallelScalingBlock'):
        tiny_vit('vit_tiny_patch16_224', model_kwargs=dict(block_fn=parallel_block())).forward_dense(
            IMAGE, qkv_block=0)


def parallel_block():
    from timm.models.vision_transformer import ParallelScalingBlock
    return ParallelScalingBlock


@pytest.mark.slow
@torch.no_grad()
def test_every_plain_timm_vit_equals_timm():
    names = [name for pattern in ('vit_*', 'deit*', 'eva*') for name in timm.list_models(pattern)]
    compared, refused = 0, []
    for name in names:
        try:
            vit = DenseViT(name, dict(TINY, depth=2)).eval()
        except ValueError as error:  # refused with a reason: hybrids, relative positions
            refused.append(str(error))
            continue
        pooling = {} if 'distilled' in name else dict(global_pool='' if vit.attn_pool is None else 'map')
        twin = timm_twin(vit, name, depth=2, **pooling)
        expected = twin.forward_features(IMAGE)[:, vit.num_prefix_tokens:]
        torch.testing.assert_close(flat_patches(vit(IMAGE)[0]), expected, msg=name)
        compared += 1
    assert compared >= 100
    assert all('DenseViT' in message for message in refused)


@pytest.mark.parametrize(('options', 'mean'), [
    (dict(arch='vit_small_patch16_224.dino', checkpoint='weights.pth'), (123.675, 116.28, 103.53)),
    (dict(arch='vit_small_patch16_224', checkpoint='weights.pth'), None),  # a file says nothing of its colours
    (dict(checkpoint='timm://vit_small_patch16_224.augreg_in21k'), (127.5, ) * 3),
    (dict(arch='vit_small_patch16_224', checkpoint='hf-hub:timm/vit_small_patch16_224.dino'),
     (123.675, 116.28, 103.53)),
    # Registers dropped: the colours are those of the weights, whatever the network is called.
    (dict(arch='vit_small_patch14_dinov2', checkpoint='timm://vit_small_patch14_reg4_dinov2', drop_registers=True),
     (123.675, 116.28, 103.53)),
    (dict(arch='vit_small_patch16_224', checkpoint='hf-hub:someone/something'), None),  # and is not looked up
    (dict(arch='vit_small_patch16_dinov3.lvd1689m'), (123.675, 116.28, 103.53)),
])
def test_colour_statistics_of_the_weights(options, mean):
    vit = DenseViT(**options, model_kwargs=dict(depth=1))
    assert vit.mean == mean
    dino = '.dino' in f'{options}' or not any(word in f'{options}' for word in ('augreg', 'reg4', 'dinov3'))
    assert vit.pos_interp == ('dino' if dino else 'timm')
    assert (vit.embed_dims, vit.arch.partition('.')[0][:9]) == (384, 'vit_small')
