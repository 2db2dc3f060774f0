from leopart_mm.models.necks.code_head import CodeHead
from leopart_mm.models.necks.feature_to_size import FeatureToSize, MeanReadout
from leopart_mm.models.necks.projection_head import ProjectionHead

__all__ = ['CodeHead', 'FeatureToSize', 'MeanReadout', 'ProjectionHead']
