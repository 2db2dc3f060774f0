"""Converting checkpoints between the layouts of Leopart, NeCo, DINO, DINOv2, timm, MMPretrain, mmseg and leopart_mm.

STEGO's, HP's and PriMaPs' are read, but not written.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from leopart_mm.checkpoints.key_layouts import (
    DINOV2,
    LEOPART_HEADS,
    MMPRETRAIN,
    MMPRETRAIN_HEAD,
    MMSEG,
    OUR_HEADS,
    TIMM,
    TIMM_HEAD,
    HeadLayout,
    KeyLayout,
    State,
    is_gated,
)
from leopart_mm.checkpoints.networks import NetworkState, flatten_tensors, read_networks
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.checkpoints.sources import describe_source, read_checkpoint
from leopart_mm.checkpoints.token_positions import registers_to_dinov2, registers_to_timm, with_class_position

MASK_TOKEN = 'mask_token'

# Parts of a ViT that not every program's class has, by the timm keys that show them.
PARTS = {
    'LayerScale': r'blocks\.0\.ls1\.',
    'registers': r'(?:reg_token|register_tokens)$',
    'a distillation token': r'dist_token$',
    'a norm before the blocks': r'norm_pre\.',
    'norms of queries and keys': r'blocks\.0\.attn\.q_norm\.',
    'a gated MLP': r'gated$',
}


@dataclass(frozen=True)
class FileLayout:
    """How a program writes its checkpoints.

    Args:
        keys: Names of the backbone's tensors.
        has: Parts (of `PARTS`) that its networks may have; with another part it would compute something else.
        prefix: Before the backbone's keys.
        heads: Names of the heads beside the backbone; None: there is no place for heads.
        roots: Text before everything of the student and of the teacher; only 'student': one network per file.
        positions: Brings position embeddings and registers to its convention; gets the state and the file's name.
        mask_token: Whether its networks with LayerScale hold a `mask_token`. Only their own training uses it, ours have
            none: zeros are written.
        wrapped: Whether the tensors lie under `state_dict`.
        usage: A line that says how to load the file.
    """

    keys: KeyLayout = TIMM
    has: frozenset[str] = frozenset()
    prefix: str = ''
    heads: HeadLayout | None = None
    roots: Mapping[str, str] = field(default_factory=lambda: dict(student=''))
    positions: Callable[[State, str], State] = lambda state, name: with_class_position(state)
    mask_token: bool = False
    wrapped: bool = False
    usage: str = ''


TARGETS: dict[str, FileLayout] = {
    'timm': FileLayout(
        has=frozenset(PARTS), heads=TIMM_HEAD, positions=registers_to_timm,
        usage='timm.create_model(ARCH, num_classes=0).load_state_dict(torch.load(FILE))'),
    'dino': FileLayout(usage='the VisionTransformer of DINO; its loaders take FILE as pretrained_weights'),
    'dinov2': FileLayout(
        keys=DINOV2, has=frozenset({'LayerScale', 'registers', 'a gated MLP'}), positions=registers_to_dinov2,
        mask_token=True, usage='torch.hub.load("facebookresearch/dinov2", ARCH).load_state_dict(torch.load(FILE))'),
    'leopart': FileLayout(
        heads=LEOPART_HEADS, roots=dict(student='model.', teacher='teacher.'),
        usage='the published Leopart code, or checkpoint=FILE here'),
    'neco': FileLayout(
        keys=DINOV2, has=frozenset({'LayerScale', 'registers', 'a gated MLP'}), heads=LEOPART_HEADS,
        positions=registers_to_dinov2, mask_token=True, usage='the published NeCo code, or checkpoint=FILE here'),
    'mmseg': FileLayout(
        keys=MMSEG, has=frozenset({'a norm before the blocks'}), prefix='backbone.', wrapped=True,
        usage="mmseg.VisionTransformer(patch_bias=True, final_norm=True, norm_cfg=dict(type='LN', eps=1e-6), "
        "init_cfg=dict(type='Pretrained', checkpoint=FILE, prefix='backbone.'))"),
    'mmpretrain': FileLayout(
        keys=MMPRETRAIN, has=frozenset(PARTS) - {'registers', 'norms of queries and keys'}, prefix='backbone.',
        heads=MMPRETRAIN_HEAD, wrapped=True,
        usage="mmpretrain.VisionTransformer(init_cfg=dict(type='Pretrained', checkpoint=FILE, prefix='backbone.'))"),
    'leopart_mm': FileLayout(
        has=frozenset(PARTS), prefix='backbone.', heads=OUR_HEADS, roots=dict(student='', teacher='teacher.'),
        positions=registers_to_timm, wrapped=True, usage='load_from=FILE, or tools/test.py CONFIG FILE'),
}


@dataclass
class Conversion:
    """A converted checkpoint and what became of its tensors.

    Args:
        checkpoint: The converted checkpoint, ready to save.
        read_as: One line per network: its role, layout and prefix in the source.
        num_kept: Tensors of backbones and heads that are in `checkpoint`.
        dropped: Names, in the source, of tensors for which the target has no place.
    """

    checkpoint: dict[str, Any]
    read_as: list[str] = field(default_factory=list)
    num_kept: int = 0
    dropped: list[str] = field(default_factory=list)


def convert_checkpoint(checkpoint: Any, target: str, which: str | None = None,
                       name: str = 'the checkpoint') -> Conversion:
    """Write a loaded checkpoint of any known layout in another one; values and dtypes stay bit for bit.

    Two exceptions: DINOv2's `mask_token`, which only its own training uses, is dropped, and written as zeros. And
    DINOv2 files with registers hold a position for the class token; timm's register networks have none, so for 'timm'
    and 'leopart_mm' it is added to the token, which is the same network.

    A projection head of a single Linear is `projection_head.weight` in files of Leopart and NeCo, and layer 0 in ours.

    Args:
        checkpoint: A state dict, maybe nested in other dicts; see `read_checkpoint`.
        target: One of `TARGETS`.
        which: 'student', 'teacher' or a prefix: this network alone. None: as in `read_networks`; a teacher beside its
            student is kept where the target has a place for it.
        name: What error messages call the checkpoint.

    Raises:
        ValueError: If `target` is none of `TARGETS`.
        BackboneCheckpointError: If there is no such network, or the target's networks lack one of its parts.
    """
    if target not in TARGETS:
        raise ValueError(f"There is no layout '{target}'; there are: {', '.join(TARGETS)}.")
    layout = TARGETS[target]
    networks = read_networks(checkpoint, which, name)
    conversion = Conversion({})
    state: State = {}
    for role, network in networks.items():
        if role not in layout.roots:
            conversion.dropped += [f'{network.prefix}* (the teacher)']
            continue
        written = _write_network(network, layout, target, name)
        state.update({layout.roots[role] + key: value for key, value in written.items()})
        merged = f', LoRA adapters merged into {network.num_merged} weights' if network.num_merged else ''
        conversion.read_as.append(f"{role}: {network.layout} layout under the prefix '{network.prefix}'{merged}")
        conversion.num_kept += len(written) - (MASK_TOKEN in written)
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


def _write_network(network: NetworkState, layout: FileLayout, target: str, name: str) -> State:
    _check_parts(network, layout, target, name)
    backbone = layout.keys.from_timm(layout.positions(network.backbone, name))
    if layout.mask_token and 'blocks.0.ls1.gamma' in network.backbone:
        backbone[MASK_TOKEN] = torch.zeros_like(network.backbone['cls_token'][0])
    heads = {foreign: network.heads[ours] for ours, foreign in _head_names(network, layout).items()}
    return {**{layout.prefix + key: value.clone() for key, value in backbone.items()},
            **{key: value.clone() for key, value in heads.items()}}


def _head_names(network: NetworkState, layout: FileLayout) -> dict[str, str]:
    return {} if layout.heads is None else layout.heads.from_ours(network.heads)


def _check_parts(network: NetworkState, layout: FileLayout, target: str, name: str) -> None:
    keys = [*network.backbone, *(['gated'] if is_gated(network.backbone) else [])]
    foreign = [part for part, pattern in PARTS.items()
               if part not in layout.has and any(re.match(pattern, key) for key in keys)]
    if foreign:
        possible = [label for label, candidate in TARGETS.items() if set(foreign) <= candidate.has]
        raise BackboneCheckpointError(f"{name} is a ViT with {' and '.join(foreign)}, which the networks of '{target}' "
                                      f'lack, so they would compute something else. Take one of: '
                                      f'{", ".join(possible)}.')


def flat_tensors(checkpoint: Mapping) -> dict[str, Tensor]:
    """The tensors of a checkpoint as one flat dict, as safetensors files need: without `state_dict.` before them."""
    return {key.removeprefix('state_dict.'): value.contiguous() for key, value in flatten_tensors(checkpoint).items()}
