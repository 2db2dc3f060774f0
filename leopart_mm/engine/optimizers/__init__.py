from leopart_mm.engine.optimizers.backbone_head_constructor import BackboneHeadConstructor

__all__ = ['BackboneHeadConstructor']
