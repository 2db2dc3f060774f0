"""Random permutations that depend on seed and step alone, and what counts the steps.

They are drawn on the CPU, alike on all processes and devices.
"""

import functools

import torch
from torch import Tensor, nn


@torch.compiler.disable  # a generator is nothing to trace
def draw_permutations(count: int, length: int, seed: int, step: int, size: int | None = None) -> Tensor:
    """`count` independent permutations of 0..length-1.

    Args:
        count: Number of rows.
        length: Number of things to permute.
        seed: Seed of the stream, the same in all steps.
        step: Number of the step; every step has different draws.
        size: Number of entries per row. A row longer than `length` has further permutations of its own behind the
            first, so that no entry comes again before all others came. Defaults to `length`.

    Returns:
        (count, size) int64 on the CPU.
    """
    size = length if size is None else size
    generator = torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
    rounds = -(-size // length)
    return torch.stack([
        torch.cat([torch.randperm(length, generator=generator) for _ in range(rounds)])[:size] for _ in range(count)
    ])


def keep_counter(module: nn.Module, name: str) -> None:
    """Give a module a counter that lies in checkpoints like a buffer but is a number in Python, at first 0.

    To read a buffer on a GPU is to wait for all that is queued there.

    Args:
        module: The module that counts.
        name: Name of the attribute, and the key of the state_dict.
    """
    setattr(module, name, 0)
    module._register_state_dict_hook(functools.partial(_save_counter, name))
    module._register_load_state_dict_pre_hook(functools.partial(_load_counter, name), with_module=True)


def _save_counter(name: str, module: nn.Module, state_dict: dict, prefix: str, local_metadata: dict) -> None:
    state_dict[prefix + name] = torch.tensor(getattr(module, name))


def _load_counter(name: str, module: nn.Module, state_dict: dict, prefix: str, local_metadata: dict, strict: bool,
                  missing_keys: list[str], *args) -> None:
    saved = state_dict.pop(prefix + name, None)
    if saved is None:
        missing_keys.append(prefix + name)
    else:
        setattr(module, name, int(saved))
