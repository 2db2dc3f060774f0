from leopart_mm.datasets.transforms.colour_jitter import RandomColourJitter
from leopart_mm.datasets.transforms.formatting import PackMultiCrop
from leopart_mm.datasets.transforms.load_image import LoadImage
from leopart_mm.datasets.transforms.load_mask import LoadMask
from leopart_mm.datasets.transforms.multi_crop import RoIAlignedMultiCrop
from leopart_mm.datasets.transforms.photometric_parameters import DrawPhotometric
from leopart_mm.datasets.transforms.resize_oriented import ResizeOriented
from leopart_mm.datasets.transforms.segmentation import KeepNetworkSize, ResizeSegMap, SegRandomResizedCrop
from leopart_mm.geometry.crop_boxes import crop_boxes, sample_crops

__all__ = [
    'DrawPhotometric', 'KeepNetworkSize', 'LoadImage', 'LoadMask', 'PackMultiCrop', 'RandomColourJitter',
    'ResizeOriented', 'ResizeSegMap', 'RoIAlignedMultiCrop', 'SegRandomResizedCrop', 'crop_boxes', 'sample_crops'
]
