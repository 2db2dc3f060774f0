"""A generated data set: scenes of multi-part objects with exact ground truth, for the demo and for tests."""

from pathlib import Path

from leopart_mm.datasets.sample.objects import CLASSES, PALETTE
from leopart_mm.datasets.sample.scenes import Scene, draw_scene, part_names
from leopart_mm.datasets.sample.writer import write_sample

# A micro ViT that tools/pretrain_sample.py made of such scenes, without labels: docs/sample_network.md
WEIGHTS = Path(__file__).with_name('vit-micro_scenes.safetensors')

__all__ = ['CLASSES', 'PALETTE', 'WEIGHTS', 'Scene', 'draw_scene', 'part_names', 'write_sample']
