"""Python entry points."""

from leopart_mm.apis.image_inputs import ImageList, list_images
from leopart_mm.apis.image_run import ImageRun, Report
from leopart_mm.apis.inferencer import LeopartInferencer, Segmentation

__all__ = ['ImageList', 'ImageRun', 'LeopartInferencer', 'Report', 'Segmentation', 'list_images']
