from leopart_mm.engine.optimizers.backbone_head_constructor import BackboneHeadConstructor
from leopart_mm.engine.optimizers.layer_decay_constructor import LayerDecayConstructor
from leopart_mm.engine.optimizers.mixed_precision import MixedPrecisionOptimWrapper

__all__ = ['BackboneHeadConstructor', 'LayerDecayConstructor', 'MixedPrecisionOptimWrapper']
