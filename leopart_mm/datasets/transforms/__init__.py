from leopart_mm.datasets.transforms.affine import SegRandomAffine
from leopart_mm.datasets.transforms.colour_jitter import RandomColourJitter
from leopart_mm.datasets.transforms.draw_student import DrawStudentAugmentation
from leopart_mm.datasets.transforms.formatting import PackMultiCrop
from leopart_mm.datasets.transforms.load_image import LoadImage
from leopart_mm.datasets.transforms.load_instances import LoadInstances
from leopart_mm.datasets.transforms.load_mask import LoadMask
from leopart_mm.datasets.transforms.load_proposals import LoadProposals, PackProposals
from leopart_mm.datasets.transforms.multi_crop import RoIAlignedMultiCrop
from leopart_mm.datasets.transforms.photometric_parameters import DrawPhotometric
from leopart_mm.datasets.transforms.resize_oriented import ResizeOriented
from leopart_mm.datasets.transforms.seed_from_draw import SeedFromDraw
from leopart_mm.datasets.transforms.segmentation import (
    KeepNetworkSize,
    ResizeSegMap,
    SegRandomFlip,
    SegRandomResizedCrop,
)
from leopart_mm.datasets.transforms.square import CentreCrop, ResizeShorterSide
from leopart_mm.geometry.crop_boxes import crop_boxes, sample_crops

__all__ = [
    'CentreCrop', 'DrawPhotometric', 'DrawStudentAugmentation', 'KeepNetworkSize', 'LoadImage', 'LoadInstances',
    'LoadMask', 'LoadProposals', 'PackMultiCrop', 'PackProposals', 'RandomColourJitter', 'ResizeOriented',
    'ResizeSegMap', 'ResizeShorterSide', 'RoIAlignedMultiCrop', 'SeedFromDraw', 'SegRandomAffine',
    'SegRandomFlip', 'SegRandomResizedCrop', 'crop_boxes', 'sample_crops'
]
