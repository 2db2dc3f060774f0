from leopart_mm.engine.loops.fit_loops import FitTestLoop, FitValLoop
from leopart_mm.engine.loops.resumable_loops import ResumableEpochLoop, ResumableIterLoop
from leopart_mm.models.fitting.stream import FeatureStream

__all__ = ['FeatureStream', 'FitTestLoop', 'FitValLoop', 'ResumableEpochLoop', 'ResumableIterLoop']
