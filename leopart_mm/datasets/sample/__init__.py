"""A generated data set: scenes of multi-part objects with exact ground truth, for the demo and for tests."""

from leopart_mm.datasets.sample.objects import CLASSES, PALETTE
from leopart_mm.datasets.sample.scenes import Scene, draw_scene, part_names
from leopart_mm.datasets.sample.writer import write_sample

__all__ = ['CLASSES', 'PALETTE', 'Scene', 'draw_scene', 'part_names', 'write_sample']
