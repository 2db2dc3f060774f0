from leopart_mm.models.selfsup.base import DenseSelfSupervisor
from leopart_mm.models.selfsup.leopart import Leopart
from leopart_mm.models.selfsup.neco import NeCo

__all__ = ['DenseSelfSupervisor', 'Leopart', 'NeCo']
