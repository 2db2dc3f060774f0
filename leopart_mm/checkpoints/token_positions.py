"""Position embeddings and register tokens of a checkpoint, fitted to the conventions of a network.

timm gives positions either to all prefix tokens (class, registers) or to none; DINOv2 with registers gives one to the
class token alone. The position of a prefix token is a constant added to it, so one convention maps exactly to another.
"""

from math import isqrt

import torch
from torch import Tensor

from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError

PREFIX_TOKENS = ('cls_token', 'dist_token', 'reg_token')  # in the order in which timm puts them before the patches


def fit_tokens(state: dict[str, Tensor], num_prefix_positions: int, grid: tuple[int, int],
               name: str) -> tuple[int, int]:
    """Fit register names and position embeddings to a network. Works in place.

    Args:
        state: State dict in timm's names, or DINOv2's where these differ (`register_tokens`).
        num_prefix_positions: Prefix positions of the network: 0, 1 (the class token's), or one per prefix token.
        grid: The network's stored grid, used if the number of patches fits it; else a square one.
        name: What error messages call the checkpoint.

    Returns:
        The checkpoint's grid (rows, columns).

    Raises:
        BackboneCheckpointError: If the number of positions is no square and fits no known grid.
    """
    class_only = 'register_tokens' in state
    if class_only:
        state['reg_token'] = state.pop('register_tokens')
    positions = state['pos_embed']
    tokens = {key: state[key].shape[1] for key in PREFIX_TOKENS if key in state}
    # Where several conventions leave a square, take the network's own.
    counts = sorted({0, 1, sum(tokens.values())}, key=lambda count: count != num_prefix_positions)
    counts = [1] if class_only else counts
    candidates = [(count, found) for count in counts if (found := _grid_of(positions.shape[1] - count, grid))]
    if not candidates:
        raise BackboneCheckpointError(f'{name}: pos_embed {tuple(positions.shape)} is no square grid of patches. Give '
                                      'its grid by model_kwargs=dict(img_size=(height, width)).')
    have, stored = candidates[0]
    prefix, patches = positions[:, :have], positions[:, have:]
    if have > num_prefix_positions:
        kept = prefix[:, :num_prefix_positions]
        _add_to_tokens(state, tokens, torch.cat([torch.zeros_like(kept), prefix[:, num_prefix_positions:]], dim=1))
        state['pos_embed'] = torch.cat([kept, patches], dim=1)
    elif have < num_prefix_positions:
        zeros = positions.new_zeros(1, num_prefix_positions - have, positions.shape[-1])
        state['pos_embed'] = torch.cat([prefix, zeros, patches], dim=1)
    return stored


def registers_to_timm(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """A state dict whose registers, if any, follow timm's DINOv2 register models: positions for the patches only."""
    state = dict(state)
    if 'pos_embed' not in state:  # rotary positions
        return state
    if 'register_tokens' in state or ('reg_token' in state and _grid_of(state['pos_embed'].shape[1] - 1, (0, 0))):
        fit_tokens(state, num_prefix_positions=0, grid=(0, 0), name=name)
    return state


def registers_to_dinov2(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """A state dict whose registers, if any, follow DINOv2: called `register_tokens`, one position for the class."""
    state = dict(state)
    if 'reg_token' in state:
        fit_tokens(state, num_prefix_positions=1, grid=(0, 0), name=name)
        state['register_tokens'] = state.pop('reg_token')
    return with_class_position(state)


def with_class_position(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the class token a position of zeros if positions are for the patches only. The network stays the same."""
    positions = state.get('pos_embed')
    if positions is None or 'cls_token' not in state or 'dist_token' in state:
        return state
    count = positions.shape[1]
    if isqrt(count)**2 != count or isqrt(count - 1)**2 == count - 1:
        return state
    return {**state, 'pos_embed': torch.cat([torch.zeros_like(positions[:, :1]), positions], dim=1)}


def _add_to_tokens(state: dict[str, Tensor], tokens: dict[str, int], prefix: Tensor) -> None:
    """Add the prefix positions, in timm's order, to the tokens that they belong to."""
    start = 0
    for key, count in tokens.items():
        part = prefix[:, start:start + count]
        if part.shape[1]:
            state[key] = state[key].float() + part.float()
        start += count


def _grid_of(num_patches: int, grid: tuple[int, int]) -> tuple[int, int] | None:
    if num_patches == grid[0] * grid[1]:
        return tuple(grid)
    side = isqrt(max(num_patches, 0))
    return (side, side) if side and side * side == num_patches else None
