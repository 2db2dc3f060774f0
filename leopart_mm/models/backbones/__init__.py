from leopart_mm.checkpoints.conversion import to_timm_state_dict
from leopart_mm.checkpoints.matching import LoadReport, NetworkSpec, load_backbone_state
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.models.backbones.dense_resnet import DenseResNet
from leopart_mm.models.backbones.dense_vit import DenseViT
from leopart_mm.models.backbones.facts import BackboneFacts, backbone_facts
from leopart_mm.models.backbones.pretrained import PretrainedBackbone

__all__ = [
    'BackboneCheckpointError', 'BackboneFacts', 'DenseResNet', 'DenseViT', 'LoadReport', 'NetworkSpec',
    'PretrainedBackbone', 'backbone_facts', 'load_backbone_state', 'to_timm_state_dict'
]
