"""Hooks of the MMEngine runner."""

from leopart_mm.engine.hooks.atomic_checkpoint_hook import AtomicCheckpointHook

__all__ = ['AtomicCheckpointHook']
