from leopart_mm.models.selfsup.base import DenseSelfSupervisor
from leopart_mm.models.selfsup.leopart import Leopart

__all__ = ['DenseSelfSupervisor', 'Leopart']
