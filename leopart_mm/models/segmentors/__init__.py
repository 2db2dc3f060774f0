from leopart_mm.models.segmentors.base import FittableSegmentor
from leopart_mm.models.segmentors.postprocessed_encoder_decoder import PostprocessedEncoderDecoder
from leopart_mm.models.segmentors.prototype_objectives import CosineKMeans, PrototypeEM, PrototypeObjective
from leopart_mm.models.segmentors.prototype_segmentor import PrototypeSegmentor
from leopart_mm.models.segmentors.retrieval_segmentor import RetrievalSegmentor
from leopart_mm.models.segmentors.unsupervised_segmentor import UnsupervisedSegmentor

__all__ = [
    'CosineKMeans', 'FittableSegmentor', 'PostprocessedEncoderDecoder', 'PrototypeEM', 'PrototypeObjective',
    'PrototypeSegmentor', 'RetrievalSegmentor', 'UnsupervisedSegmentor'
]
