"""What a checkpoint of any program says about each of its networks, under one set of names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from leopart_mm.checkpoints.checkpoint_source import (
    BackboneCheckpointError,
    FoundViT,
    find_vit,
    find_vit_prefixes,
    flatten_tensors,
)
from leopart_mm.checkpoints.key_layouts import find_layout
from leopart_mm.checkpoints.matching import BACKBONE_KEY

State = dict[str, Tensor]

# Pairs (ours, published) of beginnings of keys: Leopart's and NeCo's projection head and prototypes.
TRAINING_HEADS = (('neck.mlp.', 'projection_head.'), ('head.prototypes.', 'prototypes.'))
# Classifiers have no place in our models; they are kept between the programs that have one.
CLASSIFIER = 'classifier.'
TIMM_CLASSIFIER = ('head.weight', 'head.bias')
MMPRETRAIN_CLASSIFIER = 'head.layers.head.'


@dataclass
class NetworkState:
    """One network of a checkpoint.

    Args:
        prefix: Text before its backbone's keys.
        layout: Name of the key layout that it was read in.
        backbone: Its ViT in timm's names; position embeddings and registers as they stand in the file.
        heads: `neck.mlp.*`, `head.prototypes.*` and `classifier.*`.
        sources: The full names of the heads' tensors in the file.
        others: Tensors that are none of these, by their full names.
    """

    prefix: str
    layout: str
    backbone: State
    heads: State = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def read_networks(checkpoint: Any, which: str | None = None,
                  name: str = 'the checkpoint') -> dict[str, NetworkState]:
    """The networks of a loaded checkpoint by role: 'student', and 'teacher' where both are there and wanted.

    Args:
        checkpoint: A state dict, maybe nested in other dicts.
        which: 'student', 'teacher' or a prefix gives this network alone, as 'student'. None: the network that its
            authors evaluate; if that is the student (Leopart, NeCo, our own), its teacher too.
        name: What error messages call the checkpoint.

    Raises:
        BackboneCheckpointError: There is no such network.
    """
    networks = {'student': _read_network(checkpoint, find_vit(checkpoint, which, name))}
    if which is None:
        try:
            teacher = find_vit(checkpoint, 'teacher', name)
        except BackboneCheckpointError:
            return networks
        if teacher.prefix != networks['student'].prefix:
            networks['teacher'] = _read_network(checkpoint, teacher)
    return networks


def _read_network(checkpoint: Mapping, found: FoundViT) -> NetworkState:
    layout = find_layout(found.state)
    renamed = layout.to_timm(found.state)
    network = NetworkState(found.prefix, layout.name, {
        key: value for key, value in renamed.items() if BACKBONE_KEY.match(key) or key == 'register_tokens'})
    root = found.prefix.removesuffix('backbone.')
    used = {key for key, new in zip(found.state, renamed, strict=True) if new in network.backbone}
    for key, value in _tensors_below(checkpoint, root).items():
        head = _head_name(key, root == found.prefix)
        if head is not None:
            network.heads[head], network.sources[head] = value, root + key
        elif key.removeprefix(found.prefix[len(root):]) not in used:
            network.others.append(root + key)
    return network


def _tensors_below(checkpoint: Mapping, root: str) -> State:
    """The tensors of one network by their names below `root`; those of networks deeper down are left out."""
    tensors = flatten_tensors(checkpoint)
    deeper = [prefix for prefix in find_vit_prefixes(tensors)
              if prefix.startswith(root) and prefix not in (root, f'{root}backbone.')]
    roots = tuple(prefix.removesuffix('backbone.') for prefix in deeper)
    return {key[len(root):]: value for key, value in tensors.items()
            if key.startswith(root) and not (roots and key.startswith(roots))}


def _head_name(key: str, is_flat: bool) -> str | None:
    """Our name of a head's tensor, None if it is another; `is_flat`: the backbone stands beside it, without prefix."""
    for ours, published in TRAINING_HEADS:
        if key.startswith((ours, published)):
            return ours + key.removeprefix(ours).removeprefix(published)
    if is_flat and key in TIMM_CLASSIFIER:
        return CLASSIFIER + key.removeprefix('head.')
    if key.startswith(MMPRETRAIN_CLASSIFIER):
        return CLASSIFIER + key.removeprefix(MMPRETRAIN_CLASSIFIER)
    return None
