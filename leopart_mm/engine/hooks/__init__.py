"""Hooks of the MMEngine runner."""

from leopart_mm.engine.hooks.atomic_checkpoint_hook import AtomicCheckpointHook
from leopart_mm.engine.hooks.backbone_checkpoint_hook import BackboneCheckpointHook

__all__ = ['AtomicCheckpointHook', 'BackboneCheckpointHook']
