"""leopart_mm: dense self-supervised learning and unsupervised segmentation as an OpenMMLab plugin.

Importing it makes the MM stack run on today's torch (`leopart_mm.compat`); the components register themselves when a
config names them (``type='leopart_mm.X'``).
"""

from leopart_mm import compat, registry
from leopart_mm.checkpoints.safe_reading import register_safe_globals
from leopart_mm.version import __version__

compat.install()
register_safe_globals()

__all__ = ['__version__', 'compat', 'registry']
