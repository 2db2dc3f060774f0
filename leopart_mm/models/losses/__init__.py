from leopart_mm.models.losses.alignment import CropPairs
from leopart_mm.models.losses.embedding_queue import EmbeddingQueue
from leopart_mm.models.losses.leopart_loss import LeopartLoss
from leopart_mm.models.losses.sinkhorn import sinkhorn

__all__ = ['CropPairs', 'EmbeddingQueue', 'LeopartLoss', 'sinkhorn']
