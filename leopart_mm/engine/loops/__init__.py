from leopart_mm.engine.loops.feature_stream import FeatureStream
from leopart_mm.engine.loops.fit_loops import FitTestLoop, FitValLoop

__all__ = ['FeatureStream', 'FitTestLoop', 'FitValLoop']
