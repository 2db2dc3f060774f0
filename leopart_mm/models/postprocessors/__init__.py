from leopart_mm.models.fitting.base import BasePostprocessor, FittedPostprocessor, Postprocessor
from leopart_mm.models.postprocessors.cbfe import CBFE
from leopart_mm.models.postprocessors.community_detection import CommunityDetection
from leopart_mm.models.postprocessors.dense_crf import DenseCRF
from leopart_mm.models.postprocessors.foreground_clustering import ForegroundClustering
from leopart_mm.models.postprocessors.mask_sources import AttentionMasks, MaskFiles

__all__ = [
    'CBFE', 'AttentionMasks', 'BasePostprocessor', 'CommunityDetection', 'DenseCRF', 'FittedPostprocessor',
    'ForegroundClustering', 'MaskFiles', 'Postprocessor'
]
