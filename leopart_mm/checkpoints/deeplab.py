"""MaskDistill's segmentation networks under our names (docs/methods/maskdistill.md §16)."""

from collections.abc import Collection, Mapping
from typing import Any

import torch

from leopart_mm.checkpoints.key_layouts import State
from leopart_mm.checkpoints.matching import COUNTERS
from leopart_mm.checkpoints.networks import flatten_tensors
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.files import shorten

BACKBONE = 'backbone.'
THEIR_HEAD, OUR_HEAD = 'head.', 'decode_head.layers.'
SIGN = f'{THEIR_HEAD}0.convs.0.0.weight'
CLASSIFIER = '4.'
ROOTS = ('model.', 'state_dict.', 'module.')  # of a training file, and of the distributed wrapper


def is_deeplab(checkpoint: Any) -> bool:
    """Whether a loaded checkpoint is a DeepLab of MaskDistill: alone, in a distributed wrapper or a training file."""
    return any(_plain(key) == SIGN for key in flatten_tensors(checkpoint))


def deeplab_to_ours(checkpoint: Any, shapes: Mapping[str, Collection[int]], name: str = 'the checkpoint',
                    optional: Collection[str] = ()) -> State:
    """The state of a DeepLab of MaskDistill for an EncoderDecoder of DenseResNet and DeepLabHead.

    Args:
        checkpoint: The loaded file, see `is_deeplab`.
        shapes: Shape of every tensor of the model's state dict.
        name: What messages call the file.
        optional: Tensors that are dropped where the file has them.

    Raises:
        BackboneCheckpointError: If a tensor is missing, unknown or of another shape.
    """
    state = {}
    for key, value in flatten_tensors(checkpoint).items():
        key = _plain(key)
        state[OUR_HEAD + key.removeprefix(THEIR_HEAD) if key.startswith(THEIR_HEAD) else key] = value
    classes = len(state.get(f'{OUR_HEAD}{CLASSIFIER}bias', ()))
    state = {key: value for key, value in state.items() if key not in optional}
    for key in shapes:
        if key.endswith(COUNTERS):
            state.setdefault(key, torch.tensor(0))
    wrong = [f'{key} {tuple(state[key].shape) if key in state else "missing"} instead of {tuple(shape)}'
             for key, shape in shapes.items() if key not in state or tuple(state[key].shape) != tuple(shape)]
    wrong += [f'{key} has no place' for key in state if key not in shapes]
    if wrong:
        raise BackboneCheckpointError(
            f"{name} is a DeepLab of MaskDistill with {classes} classes that does not fit the config: "
            f'{shorten(wrong, 3)}. It is a ResNet-50 (DenseResNet, output_stride=8) with DeepLabHead: take '
            f'configs/maskdistill/deeplab_moco-r50_voc.py with num_classes={classes}.')
    return state


def _plain(key: str) -> str:
    """A key without what lies around the network."""
    for root in ROOTS:
        key = key.removeprefix(root)
    return key
