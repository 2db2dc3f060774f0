"""The old name of the hook for ResNet files, which configs written before still use."""

from leopart_mm.engine.hooks.backbone_checkpoint_hook import BackboneCheckpointHook
from leopart_mm.registry import HOOKS


@HOOKS.register_module()
class ResNetCheckpointHook(BackboneCheckpointHook):
    """`BackboneCheckpointHook`, which reads ResNets too; listed beside it, this one finds nothing left to do."""
