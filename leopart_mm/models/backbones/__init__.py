from leopart_mm.checkpoints.checkpoint_source import BackboneCheckpointError
from leopart_mm.checkpoints.matching import LoadReport, load_backbone_state
from leopart_mm.models.backbones.dense_resnet import DenseResNet
from leopart_mm.models.backbones.dense_vit import DenseViT
from leopart_mm.models.backbones.export import to_timm_state_dict

__all__ = [
    'BackboneCheckpointError', 'DenseResNet', 'DenseViT', 'LoadReport', 'load_backbone_state', 'to_timm_state_dict'
]
