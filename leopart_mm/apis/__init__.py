"""Python entry points."""

from leopart_mm.apis.image_inputs import ImageList, list_images
from leopart_mm.apis.inferencer import LeopartInferencer, Report, Segmentation

__all__ = ['ImageList', 'LeopartInferencer', 'Report', 'Segmentation', 'list_images']
