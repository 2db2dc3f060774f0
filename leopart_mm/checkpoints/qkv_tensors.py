"""Queries, keys and values of a checkpoint, which programs keep in one tensor or in three, with biases or without.

All functions take tensors under timm's names of everything else; "parted" are `attn.{q,k,v}_proj.*`, "fused"
`attn.qkv.*`. timm's Eva networks, of which DINOv3 is one, keep fused weights, and biases for queries and values alone
(`attn.q_bias`, `attn.v_bias`): keys have none, since the bias of rotated keys does not cancel in the softmax.
"""

import re
from collections.abc import Collection

import torch
from torch import Tensor

from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError

State = dict[str, Tensor]
PARTS = ('q_proj', 'k_proj', 'v_proj')
BIASES = ('.attn.q_bias', '.attn.v_bias')  # of timm's Eva networks
ROTARY_PERIODS = 'rope_embed.periods'
PERIOD_BASE = 100.  # of every DINOv3 network
PERIOD_TOLERANCE = 0.01  # published files hold periods that were rounded to bfloat16, by up to 0.4 %
WIDTH_WITHOUT_BIASES = 4096  # the 7B network is the only DINOv3 without biases of queries and values


def fuse_qkv(state: State, name: str) -> State:
    """Parted queries, keys and values fused; a missing bias beside others counts as zeros.

    Raises:
        BackboneCheckpointError: If one of the three weights is missing; `name` is what it calls the file.
    """
    fused = dict(state)
    for attention in _attentions(state, 'q_proj.weight'):
        for kind in ('weight', 'bias'):
            parts = [fused.pop(f'{attention}{part}.{kind}', None) for part in PARTS]
            if all(part is None for part in parts):
                continue
            if kind == 'weight' and any(part is None for part in parts):
                absent = ', '.join(f'{attention}{part}.weight' for part, value in zip(PARTS, parts, strict=True)
                                   if value is None)
                raise BackboneCheckpointError(f'{name} lacks {absent}: download or save the checkpoint again.')
            zeros = torch.zeros_like(next(part for part in parts if part is not None))
            fused[f'{attention}qkv.{kind}'] = torch.cat([zeros if part is None else part for part in parts])
    return fused


def part_qkv(state: State) -> State:
    """Fused queries, keys and values parted."""
    parted = dict(state)
    for kind in ('weight', 'bias'):
        for attention in _attentions(state, f'qkv.{kind}'):
            thirds = parted.pop(f'{attention}qkv.{kind}').chunk(3)
            parted.update({f'{attention}{part}.{kind}': third for part, third in zip(PARTS, thirds, strict=True)})
    return parted


def biases_to_eva(state: State, name: str) -> State:
    """Fused biases, of DINOv3 with a `bias_mask` that blanks those of keys, as timm's Eva networks keep them.

    Biases that are zeros in all blocks, as in every published file, are left out: timm's networks then have none. So is
    what only training uses: `local_cls_norm`.

    Raises:
        BackboneCheckpointError: If a key has a bias, the class token a norm of its own, or the rotary positions other
            periods, none of which timm's networks have; `name` is what it calls the file.
    """
    state = {key: value for key, value in state.items() if not key.startswith('local_cls_norm.')}
    if any(key.startswith('cls_norm.') for key in state):
        raise BackboneCheckpointError(f"{name} has a norm of its own for class token and registers (cls_norm.*), which "
                                      "timm's DINOv3 networks lack, so they would compute something else.")
    _check_periods(state.get(ROTARY_PERIODS), name)
    biases = {}
    for attention in _attentions(state, 'qkv.bias'):
        bias, mask = state.pop(f'{attention}qkv.bias'), state.pop(f'{attention}qkv.bias_mask', None)
        if mask is not None:
            bias = torch.where(mask == 0, torch.zeros_like(bias), bias)
        q, k, v = bias.chunk(3)
        if k.any():
            raise BackboneCheckpointError(f"{name}: keys have a bias in {attention}qkv.bias, which timm's DINOv3 "
                                          'networks lack, so they would compute something else.')
        biases.update({f'{attention}q_bias': q, f'{attention}v_bias': v})
    return {**state, **biases} if any(bias.any() for bias in biases.values()) else state


def eva_to_fused_bias(state: State) -> State:
    """Biases of timm's Eva networks fused, with zeros for keys, and zeros throughout where there are none.

    The 7B network alone is written without them, as DINOv3's programs have it.
    """
    fused = dict(state)
    for attention in _attentions(state, 'qkv.weight'):
        zeros = state[f'{attention}qkv.weight'].new_zeros(state[f'{attention}qkv.weight'].shape[0] // 3)
        if f'{attention}q_bias' in state or zeros.numel() != WIDTH_WITHOUT_BIASES:
            q, v = fused.pop(f'{attention}q_bias', zeros), fused.pop(f'{attention}v_bias', zeros)
            fused[f'{attention}qkv.bias'] = torch.cat([q, zeros, v])
    return fused


def eva_to_masked_bias(state: State) -> State:
    """As DINOv3's own program keeps biases: fused, and beside them a mask that is 0 for keys and 1 elsewhere."""
    state = eva_to_fused_bias(state)
    for attention in _attentions(state, 'qkv.bias'):
        mask = torch.ones_like(state[f'{attention}qkv.bias'])
        mask.chunk(3)[1].zero_()
        state[f'{attention}qkv.bias_mask'] = mask
    return state


def parted_to_eva(state: State, name: str) -> State:
    """As transformers' DINOv3 keeps them (parted, keys without a bias) to timm's Eva networks; see `biases_to_eva`."""
    return biases_to_eva(fuse_qkv(state, name), name)


def eva_to_parted(state: State) -> State:
    """The way back of `parted_to_eva`."""
    parted = part_qkv(eva_to_fused_bias(state))
    return {key: value for key, value in parted.items() if not key.endswith('.k_proj.bias')}


def fit_eva_biases(state: State, keys: Collection[str]) -> list[str]:
    """Give the weights of a timm Eva network biases of queries and values as `keys` have them; works in place.

    timm has each DINOv3 twice, with these biases (`*_qkvb`) and without. Zeros are added or left out, which is the same
    network; other biases stay, and then do not fit.

    Returns:
        What was done, in words.
    """
    biases = [key for key in state if key.endswith(BIASES)]
    wanted = [key for key in keys if key.endswith(BIASES)]
    if biases and not wanted and not any(state[key].any() for key in biases):
        for key in biases:
            del state[key]
        return ['biases of queries and values, all zeros, left out']
    if wanted and not biases and all(key.rpartition('.')[0] + '.qkv.weight' in state for key in wanted):
        for key in wanted:
            weight = state[key.rpartition('.')[0] + '.qkv.weight']
            state[key] = weight.new_zeros(len(weight) // 3)
        return ['biases of queries and values are zeros']
    return []


def rotary_periods(head_dims: int) -> Tensor:
    """Periods (head_dims / 4) of DINOv3's rotary positions: 100 ** (i / n), in patch-grid units of [-1, 1]."""
    count = head_dims // 4
    return PERIOD_BASE**(2 * torch.arange(count, dtype=torch.float32) / (head_dims // 2))


def _check_periods(periods: Tensor | None, name: str) -> None:
    if periods is None:
        return
    expected = rotary_periods(4 * len(periods))
    if not torch.allclose(periods.float(), expected, rtol=PERIOD_TOLERANCE, atol=0):
        raise BackboneCheckpointError(f'{name} has other rotary positions ({ROTARY_PERIODS} up to {periods.max():.4g} '
                                      f"instead of {expected.max():.4g}) than timm's DINOv3 networks, so they would "
                                      'compute something else.')


def _attentions(state: State, key: str) -> list[str]:
    """The beginnings `blocks.N.attn.` of all attentions that have this tensor."""
    pattern = re.compile(rf'(blocks\.\d+\.attn\.){re.escape(key)}$')
    return [hit[1] for name in state if (hit := pattern.match(name))]
