"""Low-rank adapters (LoRA) in state dicts: their names, and merging them into the weights that they adapt.

`leopart_mm.models.backbones.low_rank` puts them into networks. A checkpoint of such a training holds, for an adapted
weight `qkv.weight`, torch's names of a parametrization: `qkv.parametrizations.weight.original` and below
`qkv.parametrizations.weight.0.` the tensors `lora_A`, `lora_B` and `scale`. Everything that reads networks from files
sees `qkv.weight` with the adapter merged.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError

ORIGINAL = '.parametrizations.weight.original'
ADAPTER = '.parametrizations.weight.0.'
DOWN, UP, SCALE = 'lora_A', 'lora_B', 'scale'


def adapted_weight(weight: Tensor, down: Tensor, up: Tensor, scale: Tensor) -> Tensor:
    """The weight in force: W + s·B·A, in float32 at least, in the dtype of W.

    Args:
        weight: W, (out, in).
        down: A, (rank, in).
        up: B, (out, rank).
        scale: s, a number.

    Source: `LoRA: Low-Rank Adaptation of Large Language Models <https://arxiv.org/abs/2106.09685>`_, equation 3.
    """
    with torch.autocast(weight.device.type, enabled=False):  # what is merged must be what was trained
        dtype = torch.promote_types(torch.float32, weight.dtype)
        change = scale.to(dtype) * (up.to(dtype) @ down.to(dtype))
        return (weight.to(dtype) + change).to(weight.dtype)


def plain_name(key: str) -> str | None:
    """What a tensor of a network is called without adapters; None for the tensors of an adapter.

    >>> plain_name('blocks.0.attn.qkv.parametrizations.weight.original'), plain_name('norm.weight')
    ('blocks.0.attn.qkv.weight', 'norm.weight')
    >>> plain_name('blocks.0.attn.qkv.parametrizations.weight.0.lora_A') is None
    True
    """
    if ADAPTER in key and key.rpartition('.')[2] in (DOWN, UP, SCALE):
        return None
    return key.removesuffix(ORIGINAL) + '.weight' if key.endswith(ORIGINAL) else key


def adapted_names(state: Mapping[str, object]) -> list[str]:
    """The layers of a state dict whose weights have adapters."""
    suffix = ADAPTER + UP
    return [key.removesuffix(suffix) for key in state if key.endswith(suffix)]


def merge_low_rank(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with its adapters merged, under plain names; the same one if it has none.

    Raises:
        BackboneCheckpointError: If a part of an adapter is missing.
    """
    layers = adapted_names(state)
    if not layers:
        return state
    merged = {}
    for layer in layers:
        parts = layer + ORIGINAL, *(layer + ADAPTER + part for part in (DOWN, UP, SCALE))
        missing = [part for part in parts if part not in state]
        if missing:
            raise BackboneCheckpointError(f'The checkpoint has a LoRA adapter of {layer}.weight without {missing[0]}: '
                                          'it is incomplete. Take the file that the training wrote.')
        merged[layer + '.weight'] = adapted_weight(*(state[part] for part in parts))
    plain = {plain_name(key): value for key, value in state.items()}
    return {key: merged.get(key, value) for key, value in plain.items() if key is not None}
