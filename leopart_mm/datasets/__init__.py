from leopart_mm.datasets.image_reading import ImageReadError, read_image
from leopart_mm.datasets.unlabelled import UnlabelledImages
from leopart_mm.datasets.voc_layout import VOCLayoutDataset

__all__ = ['ImageReadError', 'UnlabelledImages', 'VOCLayoutDataset', 'read_image']
