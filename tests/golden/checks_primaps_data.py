"""Golden checks of PriMaPs' images and labels: geometry, the student's augmentation, label tables."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from scipy.io import savemat

from leopart_mm.datasets.converters.cityscapes27 import IGNORED
from leopart_mm.datasets.converters.potsdam3 import LISTS, convert_potsdam
from leopart_mm.datasets.label_tables import CITYSCAPES27, COCO_STUFF27, POTSDAM3, label_table, map_ids
from leopart_mm.datasets.transforms import CentreCrop, ResizeShorterSide, SegRandomFlip, SegRandomResizedCrop
from leopart_mm.datasets.transforms import photometric_parameters as columns
from leopart_mm.datasets.transforms.photometric import JITTER, luma
from leopart_mm.datasets.transforms.student_photometric import LUMA, augment_student
from tests.golden.cases import golden_case

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
TABLE = np.array([*[255] * 7, *range(27), *[255] * 222], np.uint8)
CLOSE = dict(rtol=0, atol=1e-5)


class FixedCrop(SegRandomResizedCrop):
    """A crop with a given box."""

    def __init__(self, size, box):
        super().__init__(size, method='pillow')
        top, left, height, width = box.tolist()
        self.box = left, top, left + width, top + height

    def draw(self, results):
        return self.box


def sample(arrays, case):
    return dict(img=arrays[f'{case}_image'], label=TABLE[arrays[f'{case}_label']],
                proposals=arrays[f'{case}_proposals'], seg_fields=['label', 'proposals'])


def run(results, *steps):
    for step in steps:
        results = step.transform(results)
    return results


def planes(image, normalise=True):
    image = image.astype(np.float32) / 255
    return ((image - MEAN) / STD if normalise else image).transpose(2, 0, 1)


@golden_case('primaps', 'transforms')
def check_transforms(arrays):
    cases = sorted({re.match(r'(.+)_side$', key)[1] for key in arrays if key.endswith('_side')})
    assert cases
    for case in cases:
        def expected(name, case=case):
            return arrays[f'{case}_{name}']

        side = int(expected('side'))
        square = ResizeShorterSide(side), CentreCrop(side)
        train = run(sample(arrays, case), *square)
        for name in ('train', 'cached'):
            np.testing.assert_allclose(planes(train['img']), expected(f'{name}_image'), err_msg=case, **CLOSE)
        np.testing.assert_array_equal(train['label'], expected('train_label'), case)
        np.testing.assert_array_equal(train['proposals'], expected('cached_proposals'), case)
        flipped = run(sample(arrays, case), *square, SegRandomFlip(1.))
        np.testing.assert_allclose(planes(flipped['img']), expected('flipped_image'), err_msg=case, **CLOSE)
        np.testing.assert_array_equal(flipped['proposals'], expected('flipped_proposals'), case)
        raw = dict(sample(arrays, case), label=arrays[f'{case}_label'])
        assert np.array_equal(run(dict(raw), *square)['label'], expected('cached_label'))
        crop = run(raw, *square, FixedCrop(side, expected('crop_box')))
        np.testing.assert_allclose(planes(crop['img'], False), expected('crop_image'), err_msg=case, **CLOSE)
        np.testing.assert_array_equal(crop['label'], expected('crop_label'), case)
        np.testing.assert_array_equal(crop['proposals'], expected('crop_proposals'), case)
        for method, name in (('aliased', 'val_image'), ('float', 'val_image_antialiased')):
            val = run(sample(arrays, case), ResizeShorterSide(side, method), CentreCrop(side))
            np.testing.assert_allclose(planes(val['img']), expected(name), err_msg=case, **CLOSE)
            np.testing.assert_array_equal(val['label'], expected('val_label'), case)


def parameters(sigma=0., order='bcsh', factors=(1, 1, 1, 0), grey=False):
    row = torch.zeros(1, columns.NUM_PARAMETERS, dtype=torch.float64)
    row[0, :4] = torch.as_tensor(factors)
    row[0, columns.ORDER] = columns.ORDERS.index(tuple('bcsh'.index(letter) for letter in order))
    row[0, columns.GREY], row[0, columns.SIGMA] = grey, float(sigma)
    return row


@golden_case('primaps', 'student_augmentations')
def check_student_augmentations(arrays):
    image = torch.from_numpy(arrays['image'])[None]
    for key in [key for key in arrays if key.endswith('_sigma')]:
        case = key.removesuffix('_sigma')
        jitter, kind = case.startswith('jitter_'), dict(grey=case == 'grey')
        if jitter:
            kind = dict(order=case[-4:], factors=arrays[f'{case}_factors'])
            assert arrays[f'{case}_order'].tolist() == ['bcsh'.index(letter) for letter in case[-4:]]
        result = augment_student(image.clone(), parameters(arrays[key], **kind))[0]
        np.testing.assert_allclose(result, arrays[f'{case}_out'], rtol=0, atol=1e-4 if jitter else 1e-5, err_msg=case)
    unit = torch.from_numpy(arrays['unit_image'])[None]
    for name, column in zip(('brightness', 'contrast', 'saturation', 'hue'), range(4), strict=True):
        result = JITTER[column][0](unit.clone(), float(arrays[f'unit_{name}_factor']))[0]
        np.testing.assert_allclose(result, arrays[f'unit_{name}_out'], rtol=0, atol=1e-4, err_msg=name)
    grey = augment_student(unit.clone(), parameters(grey=True))
    np.testing.assert_array_equal(grey, luma(unit, LUMA).expand(-1, 3, -1, -1))


@golden_case('primaps', 'label_maps')
def check_label_maps(arrays):
    raw = arrays['raw'].reshape(16, 16)
    tables = dict(cityscapes27=label_table(CITYSCAPES27, IGNORED, unknown=255),
                  cocostuff27=label_table(COCO_STUFF27, unknown=0), potsdam3=label_table(POTSDAM3, unknown=255))
    for name, table in tables.items():
        np.testing.assert_array_equal(map_ids(raw, table, name).ravel(), arrays[name], name)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        (root / 'imgs').mkdir()
        savemat(root / 'imgs/7.mat', dict(img=np.zeros((16, 16, 4), np.uint8)))
        for name in LISTS:
            (root / f'{name}.txt').write_text('7\n')
        convert_potsdam(root, root / 'out', workers=1)
        found = np.asarray(Image.open(root / 'out/annotations/7.png')).ravel()
    np.testing.assert_array_equal(found, arrays['potsdam3_missing_label'])
