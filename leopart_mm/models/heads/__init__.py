from leopart_mm.models.heads.leopart_head import LeopartHead
from leopart_mm.models.heads.neco_head import NeCoHead
from leopart_mm.models.losses.prototypes import Prototypes

__all__ = ['LeopartHead', 'NeCoHead', 'Prototypes']
