"""The fused implementation of an optimiser, where the installed torch has one for the parameters' device."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.registry import OPTIMIZERS
from torch.utils._foreach_utils import _get_fused_kernels_supported_devices

FUSED = ('Adam', 'AdamW', torch.optim.Adam, torch.optim.AdamW)
CHOICES = {'fused', 'foreach', 'capturable', 'differentiable'}  # of the implementation; one that is given stays


def build_optimizer(cfg: Mapping[str, Any], groups: list[dict]) -> torch.optim.Optimizer:
    """An optimiser as configured; Adam and AdamW in one kernel for all parameters where torch has it.

    The fused one computes the same numbers but for rounding, in a fraction of the time, and under loss scaling without
    waiting for the device. Whether a checkpoint comes from a fused one does not matter: the run keeps its own.

    Args:
        cfg: Type and arguments. One of 'fused', 'foreach', 'capturable' or 'differentiable' decides itself.
        groups: The parameters' groups.
    """
    if cfg['type'] in FUSED and not CHOICES & set(cfg):
        devices = _get_fused_kernels_supported_devices()
        if all(one.device.type in devices and one.is_floating_point() for group in groups for one in group['params']):
            cfg = dict(cfg, fused=True)
    return keep_implementation(OPTIMIZERS.build(dict(cfg, params=groups)))


def keep_implementation(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Let an optimiser load states without taking over how the optimiser that wrote them was implemented."""

    def with_own(optimizer: torch.optim.Optimizer, state: dict) -> dict:
        own = [{key: group[key] for key in CHOICES & set(group)} for group in optimizer.param_groups]
        if len(own) != len(state['param_groups']):
            return state  # torch says what is wrong
        return {**state, 'param_groups': [{**saved, **kept}
                                          for saved, kept in zip(state['param_groups'], own, strict=True)]}

    optimizer.register_load_state_dict_pre_hook(with_own)
    return optimizer
