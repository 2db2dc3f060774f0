from leopart_mm.models.backbones.dense_vit import DenseViT

__all__ = ['DenseViT']
