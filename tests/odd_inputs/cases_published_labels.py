"""Label images and crops of Cityscapes, COCO-Stuff and Potsdam that are not what their place says."""

import numpy as np
import torch
from PIL import Image
from scipy.io import savemat

from leopart_mm.datasets import Cityscapes27
from leopart_mm.datasets.conversion import ConversionError
from leopart_mm.datasets.converters.cityscapes27 import map_cityscapes
from leopart_mm.datasets.converters.coco_stuff27 import merge_coco
from leopart_mm.datasets.converters.potsdam3 import convert_potsdam
from leopart_mm.datasets.mask_reading import MaskError
from leopart_mm.datasets.transforms import CentreCrop, ResizeShorterSide
from leopart_mm.models.data_preprocessors import StudentAugmentation
from tests.odd_inputs.case import case, error_of

SECTION = 'Published data sets and squares'
NAME = 'a/a_000000_000019'


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


@case(SECTION, 'A Cityscapes label image with the ids 34 and 77', 'cityscapes27.py FOLDER')
def _cityscapes(folder):
    save(folder / f'leftImg8bit/val/{NAME}_leftImg8bit.png', np.zeros((2, 2, 3)))
    save(folder / f'gtFine/val/{NAME}_gtFine_labelIds.png', [[7, 34], [77, 0]])
    return error_of(lambda: map_cityscapes(folder, ['val']), ConversionError, 'labelIds.png')


@case(SECTION, 'Cityscapes masks that were copied, not converted', 'Cityscapes27(FOLDER)')
def _copied(folder):
    save(folder / f'leftImg8bit/val/{NAME}_leftImg8bit.png', np.zeros((2, 2, 3)))
    save(folder / f'gtFine27/val/{NAME}.png', [[7, 33], [31, 0]])
    dataset = Cityscapes27(str(folder), pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')])
    return error_of(lambda: dataset[0], MaskError, f'{NAME}.png')


@case(SECTION, 'A COCO stuff-thing map with the id 200', 'coco_stuff27.py FOLDER --list all')
def _coco(folder):
    save(folder / 'stuffthingmaps/val2017/000000000139.png', [[0, 200], [255, 181]])
    return error_of(lambda: merge_coco(folder, ['val2017'], 'all'), ConversionError, '000000000139.png')


def potsdam(folder, **labels):
    (folder / 'mat/imgs').mkdir(parents=True)
    (folder / 'mat/gt').mkdir()
    savemat(folder / 'mat/imgs/7.mat', dict(img=np.zeros((2, 2, 4), np.uint8)))
    if labels:
        savemat(folder / 'mat/gt/7.mat', labels)
    for split in ('train', 'test'):
        (folder / f'mat/labelled_{split}.txt').write_text('7\n')
    convert_potsdam(folder / 'mat', folder / 'out')


@case(SECTION, 'A Potsdam crop without a label file', 'potsdam3.py FOLDER')
def _unlabelled(folder):
    potsdam(folder)
    assert (np.asarray(Image.open(folder / 'out/annotations/7.png')) == 255).all()
    return 'All its pixels are ignored.'


@case(SECTION, 'A Potsdam label file with the id 6', 'potsdam3.py FOLDER')
def _potsdam(folder):
    return error_of(lambda: potsdam(folder, gt=np.full((2, 2), 6, np.uint8)), ConversionError, '7.mat')


@case(SECTION, 'An image of one pixel, for squares of 320', 'ResizeShorterSide, CentreCrop')
def _pixel(folder):
    results = dict(img=np.full((1, 1, 3), 7, np.uint8))
    results = CentreCrop(320).transform(ResizeShorterSide(320).transform(results))
    assert results['img'].shape == (320, 320, 3)
    assert (results['img'] == 7).all()
    return 'Enlarged.'


@case(SECTION, 'An image of 100 x 400 px, for squares of 320', 'CentreCrop')
def _small(folder):
    results = dict(img=np.zeros((100, 400, 3), np.uint8), img_path='a.jpg')
    return error_of(lambda: CentreCrop(320).transform(results), ValueError, 'a.jpg')


@case(SECTION, 'Images of 8 x 8 px, blurred over 21', 'StudentAugmentation')
def _blur(folder):
    return error_of(lambda: StudentAugmentation()(torch.zeros(1, 3, 8, 8), [0.] * 3, [1.] * 3), ValueError, '8 x 8')


@case(SECTION, 'Images of five bands, jittered', 'StudentAugmentation')
def _bands(folder):
    return error_of(lambda: StudentAugmentation()(torch.zeros(1, 5, 32, 32), [0.] * 5, [1.] * 5), ValueError, 'three')
