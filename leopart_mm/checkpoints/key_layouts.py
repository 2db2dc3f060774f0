"""Key names of each program's checkpoints: one table per layout, read in both directions.

A file's names are two independent things: how its program names the backbone (`BACKBONE_LAYOUTS`) and how it names
the heads beside it (`HEAD_LAYOUTS`): NeCo's files are DINOv2's backbone with Leopart's heads. To add a layout:

1. Backbone with other names than timm's: a `KeyLayout` whose `sign` tells its keys from all others, inserted into
   `BACKBONE_LAYOUTS` before `TIMM`. Position embeddings and registers of another convention: `token_positions`;
   queries, keys and values of another one: `qkv_tensors`.
2. Heads: a `HeadLayout` in `HEAD_LAYOUTS`, which says under which names, and in which shapes, of ours they are kept.
3. To write the layout too: a `FileLayout` in `conversion.TARGETS`.
4. A file of the layout in `tests/checkpoints/layouts.py`: every test then runs over it.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

import timm
import torch
from torch import Tensor

from leopart_mm.checkpoints.qkv_tensors import (
    biases_to_eva,
    eva_to_masked_bias,
    eva_to_parted,
    fuse_qkv,
    part_qkv,
    parted_to_eva,
)
from leopart_mm.checkpoints.renaming import PROJECTION, HeadLayout, KeyLayout, Sign, State
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError

# Our names of the heads that more than one program has, beside PROJECTION.
PROTOTYPES = 'head.prototypes.'
CODE = 'neck.head.'  # of CodeHead
EMA_CODE = 'neck.ema.'
CLASS_PROTOTYPES = 'decode_head.weight_'  # of PrototypeHead: gains `g` (K, 1, 1, 1), directions `v` (K, C, 1, 1)
MOMENTUM_PROTOTYPES = 'teacher.decode_head.weight_'
CLUSTERS = 'decode_head.clusters'  # rows (K, C) that are read as class prototypes with gain 1
LINEAR_PROBE = 'linear_probe.'
CLASSIFIER = 'classifier.'  # has no place in our models; it is kept between the programs that have one


def _has(pattern: str) -> Sign:
    return lambda keys: any(re.match(pattern, key) for key in keys)


def _is_dinov2(keys: set[str]) -> bool:
    return 'register_tokens' in keys or ('mask_token' in keys and any('.ls1.gamma' in key for key in keys))


def _is_dinov3(keys: set[str]) -> bool:
    return 'rope_embed.periods' in keys or 'storage_tokens' in keys or any(key.endswith('.bias_mask') for key in keys)


def _is_eva(keys: set[str]) -> bool:
    """timm's Eva scales layers by `gamma_1`, as DeiT-3's own files do; these have positions and biases of qkv."""
    if any(re.match(r'blocks\.0\.attn\.(?:q_bias|q_proj\.)|rope\.freqs$', key) for key in keys):
        return True
    return 'blocks.0.gamma_1' in keys and (
        not {'pos_embed', 'blocks.0.attn.qkv.bias'} <= keys or 'norm_pre.weight' in keys)


MM_RULES = (
    ('patch_embed.projection.', 'patch_embed.proj.'),
    ('pre_norm.', 'norm_pre.'),
    ('ln1.', 'norm.'),
    ('layers.{i}.ln{n}.', 'blocks.{i}.norm{n}.'),
    ('layers.{i}.ffn.layers.0.0.', 'blocks.{i}.mlp.fc1.'),
    ('layers.{i}.ffn.layers.1.', 'blocks.{i}.mlp.fc2.'),
)
MM_GATED = (('layers.{i}.ffn.w12.', 'blocks.{i}.mlp.fc1.'), ('layers.{i}.ffn.w3.', 'blocks.{i}.mlp.fc2.'))
MM_ALIASES = (('ln_pre.', 'pre_norm.'), ('norm1.', 'ln1.'), ('layers.{i}.norm{n}.', 'layers.{i}.ln{n}.'))

MMSEG = KeyLayout(
    'mmseg', _has(r'layers\.\d+\.attn\.attn\.in_proj_weight'),
    (*MM_RULES,
     ('layers.{i}.attn.attn.in_proj_', 'blocks.{i}.attn.qkv.'),
     ('layers.{i}.attn.attn.out_proj.', 'blocks.{i}.attn.proj.')), aliases=MM_ALIASES)
MMPRETRAIN = KeyLayout(
    'MMPretrain', _has(r'layers\.\d+\.(?:ln|norm|attn|ffn)'),
    (*MM_RULES,
     ('layers.{i}.attn.gamma1.weight', 'blocks.{i}.ls1.gamma'),
     ('layers.{i}.ffn.gamma2.weight', 'blocks.{i}.ls2.gamma'),
     ('layers.{i}.attn.', 'blocks.{i}.attn.')), MM_GATED, MM_ALIASES)
DINOV2 = KeyLayout(
    'DINOv2', _is_dinov2,
    gated=(('blocks.{i}.mlp.w12.', 'blocks.{i}.mlp.fc1.'), ('blocks.{i}.mlp.w3.', 'blocks.{i}.mlp.fc2.')),
    aliases=(('blocks.{chunk}.{i}.', 'blocks.{i}.'), ))  # training files cut the blocks into chunks
DINOV3 = KeyLayout(
    'DINOv3', _is_dinov3,
    (('storage_tokens', 'reg_token'), ('blocks.{i}.ls{n}.gamma', 'blocks.{i}.gamma_{n}')),
    gated=(('blocks.{i}.mlp.w1.', 'blocks.{i}.mlp.fc1_g.'), ('blocks.{i}.mlp.w2.', 'blocks.{i}.mlp.fc1_x.'),
           ('blocks.{i}.mlp.w3.', 'blocks.{i}.mlp.fc2.')),
    to_tensors=biases_to_eva, from_tensors=eva_to_masked_bias)
# Of Hugging Face's transformers, whose `save_pretrained` writes these names; aliases: those of its modules in memory.
HF_COMMON = (
    ('embeddings.cls_token', 'cls_token'), ('embeddings.mask_token', 'mask_token'),
    ('encoder.layer.{i}.attention.attention.query.', 'blocks.{i}.attn.q_proj.'),
    ('encoder.layer.{i}.attention.attention.key.', 'blocks.{i}.attn.k_proj.'),
    ('encoder.layer.{i}.attention.attention.value.', 'blocks.{i}.attn.v_proj.'),
    ('encoder.layer.{i}.attention.output.dense.', 'blocks.{i}.attn.proj.'),
    ('embeddings.position_embeddings', 'pos_embed'),
    ('embeddings.patch_embeddings.projection.', 'patch_embed.proj.'),
    ('layernorm.', 'norm.'),
)
HF_ALIASES = (
    ('encoder.layer.{i}.attention.q_proj.', 'encoder.layer.{i}.attention.attention.query.'),
    ('encoder.layer.{i}.attention.k_proj.', 'encoder.layer.{i}.attention.attention.key.'),
    ('encoder.layer.{i}.attention.v_proj.', 'encoder.layer.{i}.attention.attention.value.'),
    ('encoder.layer.{i}.attention.o_proj.', 'encoder.layer.{i}.attention.output.dense.'),
)
HF_DINOV2 = KeyLayout(
    'transformers DINOv2', _has(r'encoder\.layer\.\d+\.layer_scale1\.'),
    (*HF_COMMON,
     ('embeddings.register_tokens', 'register_tokens'),
     ('encoder.layer.{i}.layer_scale{n}.lambda1', 'blocks.{i}.ls{n}.gamma'),
     ('encoder.layer.{i}.', 'blocks.{i}.')),
    gated=(('encoder.layer.{i}.mlp.weights_in.', 'blocks.{i}.mlp.fc1.'),
           ('encoder.layer.{i}.mlp.weights_out.', 'blocks.{i}.mlp.fc2.')),
    aliases=HF_ALIASES, to_tensors=fuse_qkv, from_tensors=part_qkv)
HF_DINOV3 = KeyLayout(
    'transformers DINOv3', _has(r'(?:model\.)?layer\.\d+\.layer_scale1\.'),
    (('embeddings.cls_token', 'cls_token'), ('embeddings.mask_token', 'mask_token'),
     ('embeddings.register_tokens', 'reg_token'), ('embeddings.patch_embeddings.', 'patch_embed.proj.'),
     ('layer.{i}.layer_scale{n}.lambda1', 'blocks.{i}.gamma_{n}'),
     ('layer.{i}.attention.o_proj.', 'blocks.{i}.attn.proj.'), ('layer.{i}.attention.', 'blocks.{i}.attn.'),
     ('layer.{i}.mlp.up_proj.', 'blocks.{i}.mlp.fc1.'), ('layer.{i}.mlp.down_proj.', 'blocks.{i}.mlp.fc2.'),
     ('layer.{i}.', 'blocks.{i}.')),
    gated=(('layer.{i}.mlp.gate_proj.', 'blocks.{i}.mlp.fc1_g.'), ('layer.{i}.mlp.up_proj.', 'blocks.{i}.mlp.fc1_x.')),
    aliases=(('model.layer.{i}.', 'layer.{i}.'), ), to_tensors=parted_to_eva, from_tensors=eva_to_parted)
HF_VIT = KeyLayout(  # DINO's networks among others
    'transformers ViT', _has(r'encoder\.layer\.\d+\.layernorm_before\.'),
    (*HF_COMMON,
     ('encoder.layer.{i}.layernorm_before.', 'blocks.{i}.norm1.'),
     ('encoder.layer.{i}.layernorm_after.', 'blocks.{i}.norm2.'),
     ('encoder.layer.{i}.intermediate.dense.', 'blocks.{i}.mlp.fc1.'),
     ('encoder.layer.{i}.output.dense.', 'blocks.{i}.mlp.fc2.')),
    aliases=HF_ALIASES, to_tensors=fuse_qkv, from_tensors=part_qkv)
EVA = KeyLayout('timm Eva', _is_eva, aliases=(('fc_norm.', 'norm.'), ))  # which has one of the two
DEIT3 = KeyLayout('DeiT-3', _has(r'blocks\.\d+\.gamma_1'), (('blocks.{i}.gamma_{n}', 'blocks.{i}.ls{n}.gamma'), ))
POOLED = KeyLayout('timm with pooling before the norm', lambda keys: 'fc_norm.weight' in keys and
                   'norm.weight' not in keys, (('fc_norm.', 'norm.'), ))
# These name the backbone as timm does; what lies beside it in their training files tells them apart. Where only the
# backbone is left (DINO's backbone files, MoCo-v3, DeiT), the keys are timm's in every respect.
MAE = KeyLayout('MAE', lambda keys: 'decoder_pos_embed' in keys)
DINO = KeyLayout('DINO', _has(r'head\.last_layer\.|head\.mlp\.\d+\.'))
TIMM = KeyLayout('timm')

BACKBONE_LAYOUTS: list[KeyLayout] = [MMSEG, MMPRETRAIN, HF_DINOV2, HF_DINOV3, HF_VIT, DINOV3, DINOV2, EVA, DEIT3,
                                     POOLED, MAE, DINO, TIMM]


def clusters_to_prototypes(key: str, value: Tensor) -> State:
    """Rows of clusters (K, C), compared by their cosine, as class prototypes: directions, and gains of 1.

    Their source is docs/methods/primaps.md §13, §14. Other tensors are returned as they are.
    """
    if key != CLUSTERS:
        return {key: value}
    return {f'{CLASS_PROTOTYPES}g': value.new_ones(len(value), 1, 1, 1),
            f'{CLASS_PROTOTYPES}v': value[..., None, None]}


OUR_HEADS = HeadLayout('leopart_mm', tuple(
    (name, name) for name in (PROJECTION, PROTOTYPES, CODE, EMA_CODE, CLASS_PROTOTYPES, MOMENTUM_PROTOTYPES,
                              LINEAR_PROBE)))
LEOPART_HEADS = HeadLayout(  # NeCo has these names too
    'Leopart', (('projection_head.', PROJECTION), ('prototypes.', PROTOTYPES)),
    single={f'projection_head.{part}': f'{PROJECTION}0.{part}' for part in ('weight', 'bias')})
TIMM_HEAD = HeadLayout('timm', (('head.', CLASSIFIER), ), backbones=('', ), keys=('head.weight', 'head.bias'))
MMPRETRAIN_HEAD = HeadLayout('MMPretrain', (('head.layers.head.', CLASSIFIER), ))
# Classifiers lie beside the network, but read other features than timm's: their place is known, they are not read.
HF_HEADS = HeadLayout('transformers', (), backbones=('dinov2.', 'dinov2_with_registers.', 'vit.'))

STEGO_HEADS = HeadLayout(  # docs/methods/primaps.md §13
    'STEGO', (('net.cluster1.', f'{CODE}cluster1.'), ('net.cluster2.', f'{CODE}cluster2.'),
              ('cluster_probe.clusters', CLUSTERS), (LINEAR_PROBE, LINEAR_PROBE)),
    backbones=('net.model.', ), to_tensors=clusters_to_prototypes)
HP_HEADS = HeadLayout(  # §14
    'HP', (('net_model_state_dict.cluster1.', f'{CODE}cluster1.'),
           ('net_model_state_dict.cluster2.', f'{CODE}cluster2.'),
           ('net_model_state_dict.ema_model1.', f'{EMA_CODE}cluster1.'),
           ('net_model_state_dict.ema_model2.', f'{EMA_CODE}cluster2.'),
           ('cluster_model_state_dict.clusters', CLUSTERS), ('linear_model_state_dict.', LINEAR_PROBE)),
    backbones=('net_model_state_dict.model.', ), to_tensors=clusters_to_prototypes)
# §15. The baseline trains its cluster centres alone, so what its file has as segmentation head is left out.
PRIMAPS_BASELINE = HeadLayout(
    'PriMaPs baseline', (('cluster_probe.cluster_centers.weight_', CLASS_PROTOTYPES), (LINEAR_PROBE, LINEAR_PROBE)),
    backbones=('net.model.', ))
PRIMAPS = HeadLayout(
    'PriMaPs', (('seghead.weight_', CLASS_PROTOTYPES), ('cluster_probe.ema_model.weight_', MOMENTUM_PROTOTYPES),
                (LINEAR_PROBE, LINEAR_PROBE)),
    backbones=('net.model.', ))

# Where two layouts name a head of ours, the first counts.
HEAD_LAYOUTS: list[HeadLayout] = [OUR_HEADS, LEOPART_HEADS, TIMM_HEAD, MMPRETRAIN_HEAD, HF_HEADS, STEGO_HEADS,
                                  HP_HEADS, PRIMAPS_BASELINE, PRIMAPS]


def find_layout(keys: Iterable[str]) -> KeyLayout:
    """The layout of a ViT's keys, without their prefix.

    >>> find_layout(['cls_token', 'register_tokens', 'norm.weight']).name
    'DINOv2'
    """
    keys = set(keys)
    return next(layout for layout in BACKBONE_LAYOUTS if layout.sign(keys))


def layout_of(keys: Iterable[str], prefix: str, arch: str, name: str) -> KeyLayout:
    """The layout of a ViT's keys, where nothing but the file tells the network.

    Files of DeiT-3 and timm's state dicts of RoPE-ViT with axial frequencies and learned positions have the same keys
    and shapes. Under `backbone.`, as we write networks, names are always timm's.

    Args:
        keys: Without their prefix.
        prefix: Text before them.
        arch: timm's name of the network, which then tells; '' if it is not known.
        name: What messages call the file.

    Raises:
        BackboneCheckpointError: If the keys fit both and neither prefix nor arch tells, or timm does not know the arch.
    """
    layout = find_layout(keys)
    if layout is not DEIT3:
        return layout
    if arch:
        return EVA if 'blocks.0.gamma_1' in _names_in_timm(arch) else DEIT3
    if prefix.endswith('backbone.'):
        return EVA
    raise BackboneCheckpointError(
        f"{name} holds a DeiT-3, or timm's RoPE-ViT with learned positions (*_rope_ape_*): both have these keys and "
        'shapes. Say which: --arch deit3_small_patch16_224 or --arch vit_small_patch16_rope_ape_224, of its size.')


@lru_cache(maxsize=16)
def _names_in_timm(arch: str) -> frozenset[str]:
    if not timm.is_model(arch.partition('.')[0]):
        raise BackboneCheckpointError(f"timm has no network '{arch}': `timm.list_models('*{arch[:8]}*')` lists some.")
    with torch.device('meta'):
        return frozenset(timm.create_model(arch.partition('.')[0], num_classes=0).state_dict())
