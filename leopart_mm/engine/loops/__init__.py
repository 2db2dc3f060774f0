from leopart_mm.engine.loops.feature_stream import FeatureStream
from leopart_mm.engine.loops.fit_loops import FitTestLoop, FitValLoop
from leopart_mm.engine.loops.resumable_loops import ResumableEpochLoop, ResumableIterLoop

__all__ = ['FeatureStream', 'FitTestLoop', 'FitValLoop', 'ResumableEpochLoop', 'ResumableIterLoop']
