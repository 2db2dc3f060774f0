from leopart_mm.models.segmentors.base import FittableSegmentor
from leopart_mm.models.segmentors.retrieval_segmentor import RetrievalSegmentor
from leopart_mm.models.segmentors.unsupervised_segmentor import UnsupervisedSegmentor

__all__ = ['FittableSegmentor', 'RetrievalSegmentor', 'UnsupervisedSegmentor']
