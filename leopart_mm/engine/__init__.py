"""Hooks, loops and optimiser constructors; importing it registers them."""

from leopart_mm.engine import hooks, loops, optimizers

__all__ = ['hooks', 'loops', 'optimizers']
