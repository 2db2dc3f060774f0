"""leopart_mm: dense self-supervised learning and unsupervised segmentation as an OpenMMLab plugin.

Importing it makes the MM stack run on today's torch (`leopart_mm.compat`); the components register themselves when a
config names them (``type='leopart_mm.X'``). The import itself is light: the repairs are made when MMEngine has been
imported, which everything that they concern imports first.
"""

from leopart_mm.after_import import after_import
from leopart_mm.version import __version__


def _prepare() -> None:
    """Make the repairs. What is imported here must not import MMEngine at its top: it may be what imports it now."""
    from leopart_mm import compat, registry  # noqa: F401  (a scope that MMEngine knows has its registry)
    from leopart_mm.checkpoints.safe_reading import register_safe_globals
    compat.install()
    register_safe_globals()


def __getattr__(name: str) -> object:
    if name in ('compat', 'registry'):
        import importlib
        return importlib.import_module(f'leopart_mm.{name}')
    raise AttributeError(f"module 'leopart_mm' has no attribute '{name}'")


after_import('mmengine', _prepare)

__all__ = ['__version__', 'compat', 'registry']
