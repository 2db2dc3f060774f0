"""timm's Eva (DINOv3, EVA-02, Perception Encoder, RoPE-ViT) and networks without class token, against timm's own."""

import copy

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay
from torch import nn

from leopart_mm.checkpoints.conversion import convert_checkpoint
from leopart_mm.engine.optimizers import BackboneHeadConstructor, LayerDecayConstructor
from leopart_mm.models.backbones import DenseViT
from leopart_mm.models.backbones.low_rank import adapted_layers, merge_adapters
from leopart_mm.models.backbones.timm_vit import build_timm_vit
from tests.models.backbones.builders import TINY, flat_patches, tiny_vit

DINOV3, POOLING = 'vit_small_patch16_dinov3', 'vit_base_patch16_siglip_224'
MIXED = 'vit_small_patch16_rope_mixed_ape_224'  # each head learns its frequencies
SHARED = dict(num_kv_heads=(2, 2, 1))  # the last block's heads share keys and values
ARCHS = {
    DINOV3: {}, 'vit_small_patch16_dinov3_qkvb': {}, 'vit_small_plus_patch16_dinov3': {},  # without, with bias; SwiGLU
    'eva02_tiny_patch14_224': {}, 'eva02_base_patch14_224': {},  # separate projections, norms inside
    'eva02_enormous_patch14_clip_224': {},  # norms behind attention and MLP
    'vit_pe_spatial_small_patch16_512': {}, 'vit_pe_core_gigantic_patch14_448': {},
    'vit_small_patch16_rope_224': {}, MIXED: {}, 'vit_medium_patch16_rope_reg1_gap_256': {},
    'vit_base_patch16_sapiens2': SHARED, POOLING: {}, 'vit_so150m_patch16_reg4_map_256': {}}
WITH_CLASS_TOKEN = [arch for arch in ARCHS if build_timm_vit(arch, **TINY, **ARCHS[arch]).cls_token is not None]
IMAGE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def tiny(arch: str, **options) -> DenseViT:
    return tiny_vit(arch, model_kwargs=ARCHS[arch], pos_interp='timm', **options)


def timm_twin(vit: DenseViT) -> nn.Module:
    twin = timm.create_model(vit.arch, num_classes=0, global_pool='' if vit.attn_pool is None else 'map',
                             dynamic_img_size=True, **TINY, **ARCHS[vit.arch]).eval()
    twin.load_state_dict(vit.state_dict())
    return twin


@pytest.mark.parametrize('arch', ARCHS)
@torch.no_grad()
def test_equals_timm_at_any_size(arch):
    vit = tiny(arch)
    twin = timm_twin(vit)
    for size in ((32, 32), (24, 56), (64, 40)):
        image = torch.randn(2, 3, *size)
        tokens = twin.forward_features(image)
        features = vit.forward_dense(image)
        torch.testing.assert_close(flat_patches(features.maps[0]), tokens[:, vit.num_prefix_tokens:])
        torch.testing.assert_close(vit(image)[0], features.maps[0])
        assert features.grid == (size[0] // 8, size[1] // 8)
        if vit.cls_token is not None:
            torch.testing.assert_close(features.cls_token, tokens[:, 0])


@pytest.mark.parametrize('arch', WITH_CLASS_TOKEN)
@torch.no_grad()
def test_class_attention_is_the_networks_own(arch):
    vit = tiny(arch)
    recorded = {}
    attention = vit.blocks[-1].attn
    attention.attn_drop.register_forward_hook(lambda module, inputs, output: recorded.update(map=output))
    for rotary_qkv in (False, True):
        vit.rotary_qkv = rotary_qkv
        attention.fused_attn = True
        ours = vit.forward_dense(IMAGE, cls_attention=True, qkv_block=-1)
        attention.fused_attn = False
        vit(IMAGE)
        whole, prefix = recorded['map'], vit.num_prefix_tokens
        torch.testing.assert_close(ours.cls_attention, whole[:, :, 0, prefix:])
        # Queries and keys of the patches compare like the network's only if they are rotated.
        patches = whole[:, :, prefix:, prefix:]
        by_hand = torch.softmax(ours.q @ ours.k.transpose(-2, -1) * ours.q.shape[-1]**-0.5, -1)
        same = torch.allclose(by_hand, patches / patches.sum(-1, keepdim=True), atol=1e-5)
        assert same == (rotary_qkv or vit.rope is None)


@torch.no_grad()
def test_unrotated_queries_and_keys_do_not_know_where_a_patch_lies():
    """All patches of a constant image are equal before the first block, which rotates them apart."""
    vit = tiny(DINOV3)
    for rotary_qkv in (False, True):
        vit.rotary_qkv = rotary_qkv
        features = vit.forward_dense(torch.ones(1, 3, 24, 40), (), qkv_block=0, class_query_block=0)
        for name in 'qkv':
            spread = getattr(features, name).std(2).max()
            assert (spread > 0.01) == (rotary_qkv and name != 'v'), name
        assert (features.token_k[:, :, 1:].std(2).max() > 0.01) == rotary_qkv


@pytest.mark.parametrize('arch', [DINOV3, 'eva02_base_patch14_224', 'eva02_tiny_patch14_224', MIXED,
                                  'vit_base_patch16_sapiens2'])
@pytest.mark.parametrize('rotary_qkv', [False, True])
@torch.no_grad()
def test_class_query_alone_equals_that_of_all_queries(arch, rotary_qkv):
    vit = tiny(arch, rotary_qkv=rotary_qkv)
    alone, whole = (vit.forward_dense(IMAGE, (), class_query_block=-1, qkv_block=block) for block in (None, -1))
    assert alone.q is None
    for name in ('class_q', 'token_k'):
        torch.testing.assert_close(getattr(alone, name), getattr(whole, name))
    assert torch.equal(whole.token_k[:, :, 1:], whole.k)
    vit.features = 'keys'
    keys = vit(IMAGE)[0]
    torch.testing.assert_close(flat_patches(keys).unflatten(2, (vit.num_heads, -1)).transpose(1, 2), whole.k)


@pytest.mark.parametrize('arch', [POOLING, 'vit_pe_core_gigantic_patch14_448', 'vit_so150m_patch16_reg4_map_256'])
@torch.no_grad()
def test_without_class_token_the_pooling_head_attends(arch):
    vit = tiny(arch)
    twin = timm_twin(vit)
    tokens = twin.forward_features(IMAGE)
    pool, start = vit.attn_pool, vit.num_unpooled
    features = vit.forward_dense(IMAGE, cls_attention=True)
    assert features.cls_attention.shape == (2, pool.num_heads, 16)
    assert features.cls_token is None
    torch.testing.assert_close(features.cls_attention.sum(-1), torch.ones(2, pool.num_heads))
    # Values weighted by it are what timm's head pools.
    pooled = {}
    twin.attn_pool.proj.register_forward_hook(lambda module, inputs, output: pooled.update(values=inputs[0]))
    twin.forward_head(tokens, pre_logits=True)
    values = pool.kv(tokens[:, start:]).chunk(2, -1)[1].unflatten(-1, (pool.num_heads, -1))
    by_hand = torch.einsum('bhn,bnhd->bhd', features.cls_attention, values).flatten(1)
    torch.testing.assert_close(by_hand, pooled['values'][:, 0])
    with pytest.raises(ValueError, match='no class token, hence no query of it'):
        vit.forward_dense(IMAGE, class_query_block=-1)
    assert torch.equal(vit.forward_dense(IMAGE, (), cls_attention=True).cls_attention, features.cls_attention)


@pytest.mark.parametrize('arch', ['vit_pe_spatial_gigantic_patch14_448', 'vit_medium_patch16_rope_reg1_gap_256',
                                  'vit_base_patch16_siglip_gap_224'])
def test_without_class_token_and_head_there_is_no_attention(arch):
    vit = tiny_vit(arch)
    assert vit.attn_pool is None
    with pytest.raises(ValueError, match=r"no class token and no head that pools by attention.*mask='all'"):
        vit.forward_dense(IMAGE, cls_attention=True)


def test_the_pooling_head_is_never_trained():
    for options in ({}, dict(frozen_stages=1), dict(trainable_blocks=-1)):
        vit = tiny(POOLING, **options).train()
        assert not any(parameter.requires_grad for parameter in vit.attn_pool.parameters())
        assert not vit.attn_pool.training
        assert vit.blocks[-1].training
    plain = DenseViT(POOLING, dict(TINY, global_pool=''))
    plain.load_pretrained(vit.state_dict())  # a network may lack what only pools
    assert plain.attn_pool is None


@pytest.mark.parametrize('arch', ARCHS)
def test_timms_own_state_dict_loads(arch):
    """With timm's default pooling, whose norm may have another name, at another grid."""
    torch.manual_seed(0)
    source = timm.create_model(arch, num_classes=0, **{**TINY, 'img_size': 48}, **ARCHS[arch])
    vit = tiny(arch)
    report = vit.load_pretrained(source.state_dict())
    assert not report.ignored or report.ignored[0].startswith('attn_pool')
    for name, value in vit.state_dict().items():
        theirs = source.state_dict().get(name)
        theirs = source.state_dict()[f'fc_{name}'] if theirs is None else theirs
        assert torch.equal(value, theirs), name
    assert vit.grid_size == (4, 4) if vit.pos_embed is None else (6, 6)
    assert convert_checkpoint(vit.state_dict(), 'timm').checkpoint.keys() == vit.state_dict().keys()


@pytest.mark.parametrize('arch', [DINOV3, MIXED])
def test_recomputing_gives_the_same_gradients(arch):
    vit = tiny(arch, with_cp=True, drop_path_rate=0.5).train()
    twin = copy.deepcopy(vit)
    twin.with_cp = False
    for network in (vit, twin):
        torch.manual_seed(5)
        network(IMAGE.repeat(4, 1, 1, 1))[0].square().sum().backward()
    for (name, ours), theirs in zip(vit.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)
        assert ours.grad is not None
        assert ours.grad.abs().sum() > 0, name


@pytest.mark.parametrize('arch', [DINOV3, MIXED, 'vit_pe_spatial_small_patch16_512'])
@pytest.mark.parametrize('stages', [-1, 0, 2, 3])
def test_frozen_stages(arch, stages):
    vit = tiny(arch, frozen_stages=stages).train()
    for name, parameter in vit.named_parameters():
        root = name.split('.')[0]
        depth = int(name.split('.')[1]) + 1 if root == 'blocks' else 0
        assert parameter.requires_grad == (stages < 3 if root == 'norm' else depth > stages), name
    assert vit.rope.training == (stages < 0)


class Model(nn.Module):

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, nn.Linear(2, 2)


def test_optimiser_groups_know_the_parameters():
    """Frequencies, scales of layers and biases beside qkv do not decay."""
    for arch in (MIXED, 'vit_small_patch16_dinov3_qkvb'):
        model = Model(tiny(arch))
        wrapper = BackboneHeadConstructor(dict(optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.1)))(model)
        decays = {id(parameter): bool(group['weight_decay']) for group in wrapper.optimizer.param_groups
                  for parameter in group['params']}
        for name, parameter in model.named_parameters():
            expected = parameter.ndim > 1 and name != 'backbone.rope.freqs'
            assert decays[id(parameter)] == expected, name


@pytest.mark.parametrize('arch', [*ARCHS, 'vit_small_patch14_reg4_dinov2', 'deit_tiny_distilled_patch16_224',
                                  'vit_base_patch16_clip_224'])
def test_layer_decay_is_that_of_timm(arch):
    """The rate and the weight decay of every parameter, by timm's own grouping of the same network under a head."""
    options = ARCHS.get(arch, {})
    model = Model(tiny_vit(arch, model_kwargs=options))
    pool = {} if 'distilled' in arch else dict(global_pool='map' if model.backbone.attn_pool is not None else 'token')
    if model.backbone.cls_token is None and model.backbone.attn_pool is None:
        pool = dict(global_pool='')
    twin = timm.create_model(arch, num_classes=2, **pool, **TINY, **options)
    groups = param_groups_layer_decay(twin, 0.1, twin.no_weight_decay(), layer_decay=0.5)
    theirs = {id(value): (group['lr_scale'], group['weight_decay']) for group in groups for value in group['params']}
    theirs = {name: theirs[id(value)] for name, value in twin.named_parameters()}
    wrapper = LayerDecayConstructor(
        dict(optimizer=dict(type='AdamW', lr=1., weight_decay=0.1)),
        dict(layer_decay_rate=0.5, norm_decay_mult=0., bias_decay_mult=0., flat_decay_mult=0.))(model)
    ours = {group['param_name']: (group['lr'], group['weight_decay']) for group in wrapper.optimizer.param_groups}
    names = [name for name, value in model.backbone.named_parameters() if value.requires_grad]
    assert {name: ours[f'backbone.{name}'] for name in names} == {name: theirs[name] for name in names}
    assert ours['head.weight'] == theirs['head.weight'] == (1., 0.1)
    assert {rate for rate, _ in ours.values()} == {1., 0.5, 0.25, 0.125, 0.0625}


def test_layer_decay_refuses_a_network_without_depths():
    with pytest.raises(ValueError, match='Linear does not tell the depths of its layers'):
        LayerDecayConstructor(dict(optimizer=dict(type='AdamW', lr=1.)), dict(layer_decay_rate=0.5))(
            Model(nn.Linear(2, 2)))


def test_custom_keys_decide_over_what_does_not_decay():
    wrapper = LayerDecayConstructor(
        dict(optimizer=dict(type='AdamW', lr=1., weight_decay=0.1)),
        dict(layer_decay_rate=0.5, custom_keys={'pos_embed': dict(decay_mult=1.)}))(Model(tiny(MIXED)))
    decays = {group['param_name']: group['weight_decay'] for group in wrapper.optimizer.param_groups}
    assert decays['backbone.pos_embed'] == 0.1
    assert decays['backbone.rope.freqs'] == decays['backbone.cls_token'] == 0.


@torch.no_grad()
def test_autocast_is_close_and_attention_is_float32():
    vit = tiny(DINOV3, rotary_qkv=True)
    exact = vit.forward_dense(IMAGE, cls_attention=True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        rough = vit.forward_dense(IMAGE, cls_attention=True, qkv_block=0)
    assert (rough.cls_attention.dtype, rough.q.dtype, rough.k.dtype) == (torch.float32, *[torch.bfloat16] * 2)
    scale = exact.maps[0].abs().max().item()
    torch.testing.assert_close(rough.maps[0].float(), exact.maps[0], atol=0.05 * scale, rtol=0)
    torch.testing.assert_close(rough.cls_attention, exact.cls_attention, atol=0.02, rtol=0)
    assert vit.bfloat16()(IMAGE[..., :24].bfloat16())[0].dtype == torch.bfloat16


def test_every_block_keeps_its_fused_attention(monkeypatch):
    calls = []
    attend = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(torch.nn.functional, 'scaled_dot_product_attention',
                        lambda *args, **kwargs: calls.append(args[0].shape) or attend(*args, **kwargs))
    tiny(DINOV3).forward_dense(IMAGE, cls_attention=True, qkv_block=-1)
    assert calls == [(2, 2, 21, 16)] * 3


def test_an_unknown_attention_says_its_name():
    vit = tiny_vit('vit_dwee_patch16_reg1_gap_256')
    with pytest.raises(TypeError, match='this network has DiffAttention'):
        vit.forward_dense(IMAGE, qkv_block=0)


@pytest.mark.parametrize('arch', ARCHS)
def test_adapters_act_and_are_merged(arch):
    """Every adapter gets a gradient: none is passed over, as timm's attentions with biases pass over modules."""
    vit = tiny(arch, trainable='lora_4')
    vit(IMAGE)[0].square().sum().backward()
    adapters = [layer.parametrizations.weight[0] for layer in adapted_layers(vit)]
    assert len(adapters) >= 3 * len(vit.blocks)
    assert all(adapter.lora_A.grad.any() and adapter.lora_B.grad.any() for adapter in adapters)
    plain = tiny(arch, seed=1)
    plain.load_state_dict(vit.state_dict())
    with torch.no_grad():
        expected = vit(IMAGE)[0]
        torch.testing.assert_close(plain(IMAGE)[0], expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(timm_twin(plain).forward_features(IMAGE)[:, vit.num_prefix_tokens:],
                                   flat_patches(expected), rtol=0, atol=1e-5)
        assert torch.equal(merge_adapters(copy.deepcopy(vit))(IMAGE)[0], expected)
