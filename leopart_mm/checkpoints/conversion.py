"""Converting checkpoints between the layouts of `TARGETS`. Others, such as STEGO's or PriMaPs', are read only."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from leopart_mm.checkpoints.key_layouts import (
    DINOV2,
    DINOV3,
    HF_DINOV2,
    HF_DINOV3,
    LEOPART_HEADS,
    MMPRETRAIN,
    MMPRETRAIN_HEAD,
    MMSEG,
    OUR_HEADS,
    TIMM,
    TIMM_HEAD,
)
from leopart_mm.checkpoints.networks import VIT, NetworkState, flatten_tensors, read_networks
from leopart_mm.checkpoints.qkv_tensors import ROTARY_PERIODS, rotary_periods
from leopart_mm.checkpoints.renaming import HeadLayout, KeyLayout, State, is_gated
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.checkpoints.sources import describe_source, read_checkpoint
from leopart_mm.checkpoints.token_positions import registers_to_dinov2, registers_to_timm, with_class_position
from leopart_mm.checkpoints.transformers_config import dinov2_config, dinov3_config, published_heads
from leopart_mm.files import shorten

MASK_TOKEN = 'mask_token'
GATED, ROTARY = 'gated', 'rotary'  # what no key alone shows

# Parts of a ViT that not every program's class has, by the timm keys (or the words above) that show them.
PARTS = {
    'LayerScale': r'blocks\.0\.(?:ls1\.|gamma_1$)',
    'registers': r'(?:reg_token|register_tokens)$',
    'a distillation token': r'dist_token$',
    'a norm before the blocks': r'norm_pre\.',
    'norms of queries and keys': r'blocks\.0\.attn\.q_norm\.',
    'a gated MLP': f'{GATED}$',
    'learned positions': r'pos_embed$',
    'rotary positions': rf'{ROTARY}$|rope\.freqs$',
    'biases of keys': r'blocks\.0\.attn\.(?:qkv|k_proj)\.bias$',
    "the blocks of timm's Eva networks": r'blocks\.0\.(?:gamma_1$|attn\.(?:q_bias$|q_proj\.)|mlp\.fc1_g\.)',
    'attention pooling': r'attn_pool\.',
    'norms inside its blocks': r'blocks\.0\.(?:attn|mlp)\.norm\.',
}
PLAIN = frozenset({'learned positions', 'biases of keys'})  # what ViTs since 2020 have, up to DINOv3
OF_DINOV2 = PLAIN | {'LayerScale', 'registers', 'a gated MLP'}
OF_DINOV3 = frozenset({'LayerScale', 'registers', 'a gated MLP', 'rotary positions',
                       "the blocks of timm's Eva networks"})


def _no_extras(state: State, num_heads: int | None) -> State:
    return {}


def _mask_token(state: State, num_heads: int | None) -> State:
    """The `mask_token` (1, C) of networks with LayerScale. Only their own training uses it; ours have none: zeros."""
    return {MASK_TOKEN: torch.zeros_like(state['cls_token'][0])} if 'blocks.0.ls1.gamma' in state else {}


def _of_dinov3(state: State, num_heads: int) -> State:
    """The mask token of DINOv3's own files, zeros as above, and the periods of its rotary positions."""
    return {MASK_TOKEN: torch.zeros_like(state['cls_token'][0]),
            ROTARY_PERIODS: rotary_periods(state['cls_token'].shape[-1] // num_heads)}


def _of_hf_dinov3(state: State, num_heads: int) -> State:
    return {MASK_TOKEN: torch.zeros_like(state['cls_token'])}


@dataclass(frozen=True)
class FileLayout:
    """How a program writes its checkpoints.

    Args:
        keys: Names of the backbone's tensors.
        has: Parts (of `PARTS`) that its networks may have; with another part it would compute something else.
        needs: Parts that all its networks have.
        prefix: Before the backbone's keys.
        heads: Names of the heads beside the backbone; None: there is no place for heads.
        roots: Text before everything of the student and of the teacher; only 'student': one network per file.
        positions: Brings position embeddings and registers to its convention; gets the state and the file's name.
        extras: Tensors that its networks hold and ours do not; gets the state and the number of heads.
        needs_heads: Whether the number of heads must be known.
        wrapped: Whether the tensors lie under `state_dict`.
        config: Makes the config beside the weights (transformers' `config.json`); gets the same.
        usage: A line that says how to load the file.
    """

    keys: KeyLayout = TIMM
    has: frozenset[str] = PLAIN
    needs: frozenset[str] = frozenset()
    prefix: str = ''
    heads: HeadLayout | None = None
    roots: Mapping[str, str] = field(default_factory=lambda: dict(student=''))
    positions: Callable[[State, str], State] = lambda state, name: with_class_position(state)
    extras: Callable[[State, int | None], State] = _no_extras
    needs_heads: bool = False
    wrapped: bool = False
    config: Callable[[State, int], dict[str, Any]] | None = None
    usage: str = ''


TARGETS: dict[str, FileLayout] = {
    'timm': FileLayout(
        has=frozenset(PARTS), heads=TIMM_HEAD, positions=registers_to_timm,
        usage='timm.create_model(ARCH, num_classes=0).load_state_dict(torch.load(FILE))'),
    'dino': FileLayout(usage='the VisionTransformer of DINO; its loaders take FILE as pretrained_weights'),
    'dinov2': FileLayout(
        keys=DINOV2, has=OF_DINOV2, positions=registers_to_dinov2, extras=_mask_token,
        usage='torch.hub.load("facebookresearch/dinov2", ARCH).load_state_dict(torch.load(FILE))'),
    'leopart': FileLayout(
        heads=LEOPART_HEADS, roots=dict(student='model.', teacher='teacher.'),
        usage='the published Leopart code, or checkpoint=FILE here'),
    'neco': FileLayout(
        keys=DINOV2, has=OF_DINOV2, heads=LEOPART_HEADS, positions=registers_to_dinov2, extras=_mask_token,
        usage='the published NeCo code, or checkpoint=FILE here'),
    'mmseg': FileLayout(
        keys=MMSEG, has=PLAIN | {'a norm before the blocks'}, prefix='backbone.', wrapped=True,
        usage="mmseg.VisionTransformer(patch_bias=True, final_norm=True, norm_cfg=dict(type='LN', eps=1e-6), "
        "init_cfg=dict(type='Pretrained', checkpoint=FILE, prefix='backbone.'))"),
    'mmpretrain': FileLayout(
        keys=MMPRETRAIN, has=PLAIN | {'LayerScale', 'a distillation token', 'a norm before the blocks', 'a gated MLP'},
        prefix='backbone.', heads=MMPRETRAIN_HEAD, wrapped=True,
        usage="mmpretrain.VisionTransformer(init_cfg=dict(type='Pretrained', checkpoint=FILE, prefix='backbone.'))"),
    'leopart_mm': FileLayout(
        has=frozenset(PARTS), prefix='backbone.', heads=OUR_HEADS, roots=dict(student='', teacher='teacher.'),
        positions=registers_to_timm, wrapped=True, usage='load_from=FILE, or tools/test.py CONFIG FILE'),
    'dinov3': FileLayout(
        keys=DINOV3, has=OF_DINOV3, needs=OF_DINOV3 - {'a gated MLP'}, extras=_of_dinov3, needs_heads=True,
        usage='torch.hub.load("facebookresearch/dinov3", ARCH, pretrained=False).load_state_dict(torch.load(FILE)); '
        'strict=False where ARCH has a local_cls_norm, which only training uses'),
    'hf_dinov2': FileLayout(
        keys=HF_DINOV2, has=OF_DINOV2, needs=PLAIN | {'LayerScale'}, positions=registers_to_dinov2, extras=_mask_token,
        needs_heads=True, config=dinov2_config, usage='transformers.AutoModel.from_pretrained(FOLDER)'),
    'hf_dinov3': FileLayout(
        keys=HF_DINOV3, has=OF_DINOV3, needs=OF_DINOV3 - {'a gated MLP'}, extras=_of_hf_dinov3, needs_heads=True,
        config=dinov3_config, usage='transformers.AutoModel.from_pretrained(FOLDER)'),
}


@dataclass
class Conversion:
    """A converted checkpoint and what became of its tensors.

    Args:
        checkpoint: The converted checkpoint, ready to save.
        read_as: One line per network: its role, layout and prefix in the source.
        num_kept: Tensors of backbones and heads that are in `checkpoint`.
        dropped: Names, in the source, of tensors for which the target has no place.
        config: What belongs into `config.json` beside the weights; None: nothing does.
    """

    checkpoint: dict[str, Any]
    read_as: list[str] = field(default_factory=list)
    num_kept: int = 0
    dropped: list[str] = field(default_factory=list)
    config: dict[str, Any] | None = None


def convert_checkpoint(checkpoint: Any, target: str, which: str | None = None, name: str = 'the checkpoint',
                       num_heads: int | None = None, arch: str = '') -> Conversion:
    """Write a loaded checkpoint of any known layout in another one; values and dtypes stay bit for bit.

    Exceptions: the `mask_token` of DINOv2 and DINOv3, which only their own training uses, is dropped, and written as
    zeros. DINOv2 files with registers hold a position for the class token; timm's register networks have none, so for
    'timm' and 'leopart_mm' it is added to the token, which is the same network. Of DINOv3 the periods of rotary
    positions are checked and computed anew, the biases of keys, which are masked, are written as zeros, and biases of
    queries and values that are all zeros, as in the published files, are left out and written anew (`biases_to_eva`).

    A projection head of a single Linear is `projection_head.weight` in files of Leopart and NeCo, and layer 0 in ours.

    Args:
        checkpoint: A state dict, maybe nested in other dicts; see `read_checkpoint`.
        target: One of `TARGETS`.
        which: 'student', 'teacher' or a prefix: this network alone. None: as in `read_networks`; a teacher beside its
            student is kept where the target has a place for it.
        name: What error messages call the checkpoint.
        num_heads: Heads of the network's attention, which DINOv3's and transformers' layouts need. None: as many as
            the file tells or the published networks have, see `published_heads`.
        arch: timm's name of the network, which the files of DeiT-3 and RoPE-ViT need, see `layout_of`.

    Raises:
        ValueError: If `target` is none of `TARGETS`.
        BackboneCheckpointError: If there is no such network, a block lacks what others have, or the target's networks
            lack one of its parts.
    """
    if target not in TARGETS:
        raise ValueError(f"There is no layout '{target}'; there are: {', '.join(TARGETS)}.")
    layout = TARGETS[target]
    networks = read_networks(checkpoint, which, name, arch)
    conversion = Conversion({})
    state: State = {}
    for role, network in networks.items():
        if VIT.stem not in network.backbone:
            raise BackboneCheckpointError(f"{name}: the network under the prefix '{network.prefix}' is in no known "
                                          f'layout. Its first tensors: {shorten(network.unplaced)}.')
        if role not in layout.roots:
            conversion.dropped += [f'{network.prefix}* (the teacher)']
            continue
        _check_blocks(network.backbone, name)
        _check_parts(network, layout, target, name)
        heads = num_heads or network.num_heads or published_heads(network.backbone)
        if layout.needs_heads and heads is None:
            raise BackboneCheckpointError(
                f"{name} does not tell how many heads its attention has, which the layout '{target}' needs, and no "
                f'published network is {network.backbone[VIT.stem].shape[0]} wide: name the number (--heads).')
        written = _write_network(network, layout, name, heads)
        state.update({layout.roots[role] + key: value for key, value in written.items()})
        merged = f', LoRA adapters merged into {network.num_merged} weights' if network.num_merged else ''
        conversion.read_as.append(f"{role}: {network.layout} layout under the prefix '{network.prefix}'{merged}")
        conversion.num_kept += len(network.backbone) + len(_head_names(network, layout))
        if layout.config is not None:
            conversion.config = layout.config(layout.positions(network.backbone, name), heads)
        conversion.dropped += network.unplaced + list(dict.fromkeys(
            network.sources[head] for head in network.heads if head not in _head_names(network, layout)))
    wrapped = layout.wrapped or ('teacher' in networks and 'teacher' in layout.roots)
    conversion.checkpoint = dict(meta={}, state_dict=state) if wrapped else state
    return conversion


def to_timm_state_dict(source: Any, which: str | None = 'student') -> State:
    """The backbone of a checkpoint under timm's names, without anything else.

    It loads strictly into ``timm.create_model(arch, num_classes=0)`` of the architecture that was trained.

    Args:
        source: A file, hub name or loaded checkpoint, see `read_checkpoint`.
        which: 'student', 'teacher', a prefix, or None for the published choice. A network without a role counts as the
            student.

    Raises:
        BackboneCheckpointError: If there is no such network.
    """
    return convert_checkpoint(read_checkpoint(source), 'timm', which, describe_source(source)).checkpoint


def _write_network(network: NetworkState, layout: FileLayout, name: str, num_heads: int | None) -> State:
    backbone = layout.positions(network.backbone, name)
    backbone = layout.keys.from_timm({**backbone, **layout.extras(network.backbone, num_heads)})
    heads = {foreign: network.heads[ours] for ours, foreign in _head_names(network, layout).items()}
    return {**{layout.prefix + key: value.clone() for key, value in backbone.items()},
            **{key: value.clone() for key, value in heads.items()}}


def _head_names(network: NetworkState, layout: FileLayout) -> dict[str, str]:
    return {} if layout.heads is None else layout.heads.from_ours(network.heads)


def _check_blocks(backbone: State, name: str) -> None:
    """A converted file names no arch with which a user would find out that a part is missing."""
    blocks: dict[int, set[str]] = {}
    for key in backbone:
        if hit := re.match(r'blocks\.(\d+)\.(.+)', key):
            blocks.setdefault(int(hit[1]), set()).add(hit[2])
    parts = set().union(*blocks.values())
    absent = [f'blocks.{number}.{part}' for number in range(max(blocks, default=-1) + 1)
              for part in sorted(parts - blocks.get(number, set()))]
    if absent:
        raise BackboneCheckpointError(f"{name} lacks {len(absent)} of the tensors that its other blocks have, by "
                                      f"timm's names {shorten(absent)}: it is incomplete. Copy or download it again.")


def _check_parts(network: NetworkState, layout: FileLayout, target: str, name: str) -> None:
    marks = [*network.backbone, *[GATED] * is_gated(network.backbone)]
    marks += [ROTARY] * ('pos_embed' not in network.backbone)
    parts = {part for part, pattern in PARTS.items() if any(re.match(pattern, mark) for mark in marks)}
    possible = [label for label, other in TARGETS.items() if other.needs <= parts <= other.has]
    what = [part for part in PARTS if part in parts - layout.has]
    if what or not layout.needs <= parts:
        what = f'with {" and ".join(what)}' if what else f'without {" and ".join(sorted(layout.needs - parts))}'
        lack = 'lack' if parts - layout.has else 'have'
        raise BackboneCheckpointError(f"{name} is a ViT {what}, which the networks of '{target}' {lack}, so they would "
                                      f'compute something else. Take one of: {", ".join(possible)}.')


def flat_tensors(checkpoint: Mapping) -> dict[str, Tensor]:
    """The tensors of a checkpoint as one flat dict, as safetensors files need: without `state_dict.` before them."""
    return {key.removeprefix('state_dict.'): value.contiguous() for key, value in flatten_tensors(checkpoint).items()}
