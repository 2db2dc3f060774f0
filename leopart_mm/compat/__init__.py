"""Repairs that make the OpenMMLab stack run on today's torch; importing leopart_mm calls `install`."""

from leopart_mm.compat.allocator import tune_cpu_allocator
from leopart_mm.compat.config_scope import register_config_scope
from leopart_mm.compat.mmcv_ops import has_compiled_ops, install_mmcv_ops


def install() -> None:
    """Apply every repair. Safe to call more than once; does nothing where nothing is broken."""
    install_mmcv_ops()
    register_config_scope()


__all__ = [
    'has_compiled_ops', 'install', 'install_mmcv_ops', 'register_config_scope', 'tune_cpu_allocator'
]
