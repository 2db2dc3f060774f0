from leopart_mm.datasets.ade20k import ADE20K151
from leopart_mm.datasets.ade20k_street import ADE20KStreetParts
from leopart_mm.datasets.cityscapes import Cityscapes27
from leopart_mm.datasets.coco import COCOStuff15, COCOStuff27, COCOThings12
from leopart_mm.datasets.coco_instances import CocoInstances
from leopart_mm.datasets.collate import multi_crop_collate
from leopart_mm.datasets.examples import ExampleImages
from leopart_mm.datasets.image_reading import ImageReadError, read_image
from leopart_mm.datasets.labelled_images import LabelledImages
from leopart_mm.datasets.paired_folders import PairedFolders
from leopart_mm.datasets.potsdam import Potsdam3
from leopart_mm.datasets.unlabelled import UnlabelledImages
from leopart_mm.datasets.voc_layout import VOCLayoutDataset

__all__ = [
    'ADE20K151', 'ADE20KStreetParts', 'COCOStuff15', 'COCOStuff27', 'COCOThings12', 'Cityscapes27', 'CocoInstances',
    'ExampleImages', 'ImageReadError', 'LabelledImages', 'PairedFolders', 'Potsdam3', 'UnlabelledImages',
    'VOCLayoutDataset', 'multi_crop_collate', 'read_image'
]
