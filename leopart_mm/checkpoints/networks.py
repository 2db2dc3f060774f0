"""Which networks a checkpoint of any program holds: its ViTs and ResNets, their heads, student and teacher."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from leopart_mm.checkpoints.key_layouts import (
    BACKBONE_LAYOUTS,
    CLASS_PROTOTYPES,
    HEAD_LAYOUTS,
    TIMM,
    layout_of,
)
from leopart_mm.checkpoints.low_rank import adapted_names, merge_low_rank
from leopart_mm.checkpoints.qkv_tensors import ROTARY_PERIODS
from leopart_mm.checkpoints.renaming import HeadLayout, State
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError

TEACHER_NAMES = {'teacher', 'momentum_encoder', 'ema', 'model_ema', 'state_dict_ema', 'ema_state_dict',
                 'target_encoder', 'encoder_k', 'model_k', 'backbone_k', 'target_network'}
NO_WEIGHTS = {'optimizer', 'optimizer_states', 'lr_schedulers', 'scheduler', 'param_schedulers', 'message_hub',
              'hyper_parameters', 'callbacks', 'loops', 'meta', 'args', 'config'}
# What others than these name their tensors by; DINOv3 has ConvNeXts too.
OTHER_NETWORKS = {'relative_position_bias_table': 'Swin Transformer',
                  r'\.pwconv1\.|stages\.\d\.(blocks|layers)\.\d+\.(conv_dw|depthwise_conv)\.': 'ConvNeXt'}


@dataclass(frozen=True)
class NetworkKind:
    """How the tensors of a kind of network are found.

    Args:
        name: What messages call it.
        anchors: Names of tensors that mark such a network, in timm's words for a ViT; what precedes them is its prefix.
        keys: Fits the names of the backbone's own tensors; other names under the prefix are heads and the like.
        stem: The first convolution, whose shape tells width, image bands and patch size.
        heads: Fits those of `keys` that a network may lack: its pooling.
    """

    name: str
    anchors: tuple[str, ...]
    keys: re.Pattern
    stem: str
    heads: re.Pattern = re.compile(r'(?!)')


VIT = NetworkKind(
    'ViT', ('patch_embed.proj.weight', 'cls_token'),
    re.compile(r'(cls_token|dist_token|reg_token|pos_embed|rope\.freqs)$|(patch_embed|norm_pre|blocks|norm|attn_pool)\.'),
    'patch_embed.proj.weight', heads=re.compile(r'attn_pool\.'))
RESNET = NetworkKind(
    'ResNet', ('layer1.0.conv1.weight', ), re.compile(r'layer\d+\.'), 'conv1.weight')  # docs/methods/leopart.md §13


@dataclass
class FoundNetwork:
    """The weights of a network in a checkpoint.

    Args:
        state: Tensors by their keys without the prefix; adapters are merged.
        prefix: Text before the keys.
        num_outside: How many tensors lie elsewhere.
        num_merged: How many weights had a LoRA adapter.
    """

    state: State
    prefix: str
    num_outside: int
    num_merged: int = 0


@dataclass
class NetworkState:
    """A ViT of a checkpoint with its heads, under our names.

    Args:
        prefix: Text before its backbone's keys.
        layout: Name of the key layout that it was read in.
        backbone: Its ViT in timm's names; position embeddings and registers as they are in the file.
        heads: `neck.mlp.*`, `head.prototypes.*`, `classifier.*` and what else `HEAD_LAYOUTS` know.
        sources: The full names of the heads' tensors in the file.
        unplaced: Tensors that are none of these, by their full names.
        num_merged: How many weights had a LoRA adapter, which is merged.
        num_heads: Heads of its attention, where the file tells.
    """

    prefix: str
    layout: str
    backbone: State
    heads: State = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    unplaced: list[str] = field(default_factory=list)
    num_merged: int = 0
    num_heads: int | None = None


def flatten_tensors(checkpoint: Any) -> State:
    """All tensors of nested dicts by dotted name, adapters merged; optimiser states and the like are left out."""
    return merge_low_rank(_flatten(checkpoint))


def _flatten(checkpoint: Any, prefix: str = '') -> State:
    tensors: State = {}
    if not isinstance(checkpoint, Mapping):
        return tensors
    for key, value in checkpoint.items():
        if isinstance(value, Tensor):
            tensors[f'{prefix}{key}'] = value.detach()
        elif isinstance(value, Mapping) and not _has_no_weights(str(key)):
            tensors.update(_flatten(value, f'{prefix}{key}.'))
    return tensors


def _has_no_weights(key: str) -> bool:
    return key in NO_WEIGHTS or 'optimizer' in key  # HP writes the states of three, each under its own name


def anchor_names(kind: NetworkKind) -> list[str]:
    """The anchors of a kind of network in the words of every layout, timm's first."""
    if kind is not VIT:
        return list(kind.anchors)
    names = [foreign for layout in (TIMM, *BACKBONE_LAYOUTS) for foreign in layout.foreign_names(kind.anchors)]
    return list(dict.fromkeys(names))


def find_prefixes(tensors: Mapping[str, Any], kind: NetworkKind = VIT) -> list[str]:
    """The text before the keys of every network of a kind among named tensors."""
    anchors = '|'.join(map(re.escape, anchor_names(kind)))
    pattern = re.compile(rf'(|.*?\.)(?:{anchors})')  # the shortest prefix: one anchor may be the end of another
    return sorted({hit[1] for name in tensors if (hit := pattern.fullmatch(name))})


def find_network(checkpoint: Any, key: str | None = None, name: str = 'the checkpoint',
                 kind: NetworkKind = VIT) -> FoundNetwork:
    """Find the one network that is meant in a checkpoint.

    Args:
        checkpoint: A state dict, maybe nested in other dicts.
        key: 'student', 'teacher', or a prefix. None: of a student-teacher pair of DINO's kind (both named so) the
            teacher, as its authors do; else what is not a teacher (Leopart, NeCo, the base encoders of MoCo and
            DenseCL, our own).
        name: What error messages call the checkpoint.
        kind: `VIT` or `RESNET`.

    Raises:
        BackboneCheckpointError: If there is no such network, or several to choose from.
    """
    tensors = flatten_tensors(checkpoint)
    prefixes = find_prefixes(tensors, kind)
    if not prefixes:
        raise BackboneCheckpointError(f'{name} holds no {kind.name}: {_describe_content(tensors, kind)}')
    chosen = _choose(prefixes, key)
    if len(chosen) != 1:
        found = ', '.join(f"'{prefix}'" for prefix in prefixes)
        fault = 'more than one fits' if chosen else f"none of them fits checkpoint_key='{key}'"
        raise BackboneCheckpointError(f'{name} holds {kind.name}s under the prefixes {found}; {fault}. Set '
                                      'checkpoint_key to one of these prefixes.')
    prefix = chosen[0]
    state = {full[len(prefix):]: value for full, value in tensors.items() if full.startswith(prefix)}
    merged = sum(layer.startswith(prefix) for layer in adapted_names(_flatten(checkpoint)))
    return FoundNetwork(state, prefix, len(tensors) - len(state), merged)


def read_networks(checkpoint: Any, which: str | None = None, name: str = 'the checkpoint',
                  arch: str = '') -> dict[str, NetworkState]:
    """The ViTs of a loaded checkpoint by role: 'student', and 'teacher' where the file has both and both are meant.

    Args:
        checkpoint: A state dict, maybe nested in other dicts.
        which: 'student', 'teacher' or a prefix gives this network alone, as 'student'. None: the network that its
            authors evaluate; if that is the student (Leopart, NeCo, our own), its teacher too.
        name: What error messages call the checkpoint.
        arch: timm's name of the network, which two kinds of files need, see `layout_of`.

    Raises:
        BackboneCheckpointError: If there is no such network, or its keys fit two networks and `arch` is not given.
    """
    networks = {'student': _read_network(checkpoint, find_network(checkpoint, which, name), name, arch)}
    if which is None:
        try:
            teacher = find_network(checkpoint, 'teacher', name)
        except BackboneCheckpointError:
            return networks
        if teacher.prefix != networks['student'].prefix:
            networks['teacher'] = _read_network(checkpoint, teacher, name, arch)
    return networks


def read_heads(checkpoint: Any) -> State:
    """The heads of a loaded checkpoint under our names, see `NetworkState`; the file may hold no backbone.

    Of several networks the heads of the student are taken. PriMaPs on top of STEGO or HP saves its prototypes without
    the network (docs/methods/primaps.md §15).
    """
    tensors = flatten_tensors(checkpoint)
    if find_prefixes(tensors):
        return read_networks(checkpoint)['student'].heads
    return _heads_alone(tensors).heads


def _heads_alone(tensors: State) -> NetworkState:
    network, read = NetworkState('', '', {}), set()
    state = {key.removeprefix('state_dict.'): value for key, value in tensors.items()}
    for layout in HEAD_LAYOUTS:
        _take_heads(network, layout, '', state, read)
    return network


def _choose(prefixes: list[str], key: str | None) -> list[str]:
    teachers = [prefix for prefix in prefixes if TEACHER_NAMES & set(prefix.split('.'))]
    students = [prefix for prefix in prefixes if prefix not in teachers]
    if key == 'teacher':
        return teachers
    if key == 'student':
        return students
    if key is not None:
        key = key if key == '' or key.endswith('.') else f'{key}.'
        return [prefix for prefix in prefixes if prefix == key] or [p for p in prefixes if key and p.startswith(key)]
    published_teacher = any('student' in prefix.split('.') for prefix in students)
    return teachers if teachers and (published_teacher or not students) else students


def _describe_content(tensors: State, kind: NetworkKind) -> str:
    if not tensors:
        return 'it holds no tensors at all. Is it a checkpoint?'
    first = ', '.join(list(tensors)[:5])
    for other in (VIT, RESNET):
        if find_prefixes(tensors, other):
            return f'it looks like a {other.name} ({first}, ...). Name a {kind.name} checkpoint.'
    for pattern, network in OTHER_NETWORKS.items():
        if any(re.search(pattern, name) for name in tensors):
            return f'it looks like a {network} ({first}, ...). Name a {kind.name} checkpoint.'
    if any(key.startswith(CLASS_PROTOTYPES) for key in _heads_alone(tensors).heads):
        return (f'it looks like prototypes of PriMaPs on STEGO or HP ({first}, ...), which are saved without the '
                'network. Name the checkpoint of the STEGO or HP run as checkpoint of backbone and neck.')
    if len(tensors) <= 20:
        return f'it looks like a head only ({first}). Name the checkpoint of the backbone.'
    return f'no key ends in {" or ".join(anchor_names(kind))}. Its first keys: {first}.'


def heads_by_periods(state: Mapping[str, Tensor]) -> int | None:
    """Number of attention heads of a network that keeps its rotary periods, a quarter of a head's channels each."""
    periods, stem = state.get(ROTARY_PERIODS), state.get(VIT.stem)
    return None if periods is None or stem is None else len(stem) // (4 * len(periods))


def _read_network(checkpoint: Any, found: FoundNetwork, name: str, arch: str) -> NetworkState:
    layout = layout_of(found.state, found.prefix, arch, name)
    renamed = layout.to_timm(found.state, name=name)
    network = NetworkState(found.prefix, layout.name, {
        key: value for key, value in renamed.items() if _is_of_vit(key)},
        num_merged=found.num_merged, num_heads=heads_by_periods(renamed))
    read = {found.prefix + key for key, new in zip(found.state, layout.timm_names(found.state), strict=True)
            if _is_of_vit(new) or new == ROTARY_PERIODS}
    tensors = flatten_tensors(checkpoint)
    for heads, root in _roots_of(found.prefix):
        _take_heads(network, heads, root, _tensors_below(tensors, root, found.prefix), read)
    root = min((root for _, root in _roots_of(found.prefix)), key=len)
    network.unplaced = [root + key for key in _tensors_below(tensors, root, found.prefix) if root + key not in read]
    return network


def _is_of_vit(key: str) -> bool:
    return bool(VIT.keys.match(key)) or key == 'register_tokens'


def _take_heads(network: NetworkState, layout: HeadLayout, root: str, below: State, read: set[str]) -> None:
    """Put the heads of a layout, among tensors by their names below `root`, into a network that lacks them so far."""
    for key, value in below.items():
        ours = layout.to_ours(key)
        if ours is None or root + key in read:
            continue
        values = layout.to_tensors(ours, value)
        if not values.keys() & network.heads.keys():
            network.heads.update(values)
            network.sources.update(dict.fromkeys(values, root + key))
            read.add(root + key)


def _roots_of(prefix: str) -> list[tuple[HeadLayout, str]]:
    """Each head layout with the places where its heads may lie, given the backbone's prefix."""
    return [(layout, prefix.removesuffix(backbone)) for layout in HEAD_LAYOUTS for backbone in layout.backbones
            if prefix == backbone or prefix.endswith(f'.{backbone}' if backbone else '')]


def _tensors_below(tensors: State, root: str, prefix: str) -> State:
    """Tensors by their names below `root`; those of other networks, deeper down, are left out."""
    deeper = [other for other in find_prefixes(tensors) if other.startswith(root) and other not in (root, prefix)]
    roots = tuple(place for other in deeper if (place := other.removesuffix('backbone.')) != root)
    return {key[len(root):]: value for key, value in tensors.items()
            if key.startswith(root) and not (roots and key.startswith(roots))}
