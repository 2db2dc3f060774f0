"""Repairs that make the OpenMMLab stack run on today's torch, and old import paths; leopart_mm calls `install`."""

from typing import Any

from leopart_mm.compat.allocator import tune_cpu_allocator
from leopart_mm.compat.config_scope import register_config_scope
from leopart_mm.compat.mmcv_ops import has_compiled_ops, install_mmcv_ops
from leopart_mm.compat.multimodal import leave_out_multimodal_models
from leopart_mm.compat.old_imports import NAMES, find_moved, install_old_imports


def install() -> None:
    """Apply every repair. Safe to call more than once; does nothing where nothing is broken."""
    install_mmcv_ops()
    leave_out_multimodal_models()
    register_config_scope()
    install_old_imports()


def __getattr__(name: str) -> Any:
    return find_moved('compat', name, NAMES['compat'])


__all__ = [
    'has_compiled_ops', 'install', 'install_mmcv_ops', 'install_old_imports', 'leave_out_multimodal_models',
    'register_config_scope', 'tune_cpu_allocator'
]
