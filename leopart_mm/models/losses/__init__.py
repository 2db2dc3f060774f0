from leopart_mm.geometry.crop_pairs import CropPairs
from leopart_mm.models.losses.base import SelfSupLoss, Targets, TeacherOutput
from leopart_mm.models.losses.embedding_queue import EmbeddingQueue
from leopart_mm.models.losses.leopart_loss import LeopartLoss
from leopart_mm.models.losses.neco_loss import NeCoLoss
from leopart_mm.models.losses.ohem import OHEMCrossEntropyLoss
from leopart_mm.models.losses.old_heads import LeopartHead, NeCoHead
from leopart_mm.models.losses.paka_loss import PaKALoss
from leopart_mm.models.losses.prototypes import Prototypes
from leopart_mm.models.losses.sinkhorn import sinkhorn
from leopart_mm.models.losses.sorting.networks import sorting_network
from leopart_mm.models.losses.sorting.reference import permutation_cross_entropy, similarities, soft_sort
from leopart_mm.models.losses.sorting.sorted_cross_entropy import sorted_cross_entropy

__all__ = [
    'CropPairs', 'EmbeddingQueue', 'LeopartHead', 'LeopartLoss', 'NeCoHead', 'NeCoLoss', 'OHEMCrossEntropyLoss',
    'PaKALoss', 'Prototypes', 'SelfSupLoss', 'Targets', 'TeacherOutput', 'permutation_cross_entropy', 'similarities',
    'sinkhorn', 'soft_sort', 'sorted_cross_entropy', 'sorting_network'
]
