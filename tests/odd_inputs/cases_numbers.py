"""Images that are not of 8 bits: integers, floating point, missing pixels, many bands."""

import numpy as np
import tifffile
from mmengine.dataset import ConcatDataset
from PIL import Image

from leopart_mm.datasets import UnlabelledImages, VOCLayoutDataset
from leopart_mm.datasets.image_reading import read_with_missing
from leopart_mm.datasets.value_range import share_value_range
from leopart_mm.engine.hooks import ValueRangeHook
from tests.engine.hooks.test_value_range_hook import runner_of
from tests.odd_inputs.case import case, error_of, log_lines, said

SECTION = 'Numbers: more than 8 bits, missing pixels, bands'
COMMAND = 'UnlabelledImages(FOLDER)'
RAMP = np.linspace(0, 1, 64 * 64).reshape(64, 64)


def images(folder, *arrays, name='in', tag=None, **options):
    root = folder / name
    root.mkdir(exist_ok=True)
    for number, array in enumerate(arrays):
        tags = {} if tag is None else dict(extratags=[(42113, 's', 0, tag, True)])
        tifffile.imwrite(root / f'{number}.tif', array, photometric='minisblack', **tags)
    return UnlabelledImages(str(root), pipeline=[dict(type='leopart_mm.LoadImage')], **options)


def scaled(title, array, low, high, tag=None, **options):
    """Numbers of which (nearly) all grey levels are left."""

    @case(SECTION, title, COMMAND + ''.join(f', {key}={value}' for key, value in options.items()))
    def run(folder):
        with log_lines() as lines:
            dataset = images(folder, array, tag=tag, **options)
        assert abs(dataset.value_range[0] - low) <= 0.02 * (high - low)
        assert abs(dataset.value_range[1] - high) <= 0.02 * (high - low)
        assert len(np.unique(dataset[0]['img'])) > 120
        return said(lines, 'more than 8 bits') if lines[1:] else 'Read by this range.'


def holed(array, number):
    array = array.astype(np.float32)
    array[:20] = number
    return array


scaled('uint16 that holds 0..4000', (RAMP * 4000).astype(np.uint16), 20, 3980)
scaled('12 bits in 16', (RAMP * 4095).astype(np.uint16), 20, 4075)
scaled('Signed 16 bits (CT), -1000..1000', (RAMP * 2000 - 1000).astype(np.int16), -990, 990)
scaled('Floating point, 200..300', (RAMP * 100 + 200).astype(np.float32), 200.5, 299.5)
scaled('Floating point with NaN', holed(RAMP * 100 + 200, np.nan), 231, 299.5)
scaled('Floating point, -9999 without data by GDAL\'s tag', holed(RAMP * 100 + 200, -9999), 231, 299.5, tag='-9999')
scaled('Floating point, -9999 without data, no tag', holed(RAMP * 100 + 200, -9999), 231, 299.5, nodata=-9999)
scaled('A range that is given', (RAMP * 4000).astype(np.uint16), 0, 8000, value_range=(0, 8000))


@case(SECTION, 'A range from high to low', COMMAND + ', value_range=(5, 5)')
def _wrong(folder):
    (folder / 'in').mkdir()
    return error_of(lambda: UnlabelledImages(str(folder / 'in'), value_range=(5, 5)), ValueError, 'low < high')


@case(SECTION, 'One pixel of -0.003 in one of two float images', COMMAND)
def _one_pixel(folder):
    first, second = (RAMP * 0.3).astype(np.float32), (RAMP * 0.3).astype(np.float32)
    second[0, 0] = -0.003
    dataset = images(folder, first, second)
    assert abs(dataset[0]['img'].mean() - dataset[1]['img'].mean()) < 0.1
    return 'Both are read alike: mean greys differ by less than 0.1.'


@case(SECTION, 'A dark and a bright image', COMMAND)
def _comparable(folder):
    dataset = images(folder, (RAMP * 500).astype(np.uint16), (RAMP * 500 + 3500).astype(np.uint16))
    assert dataset[0]['img'].max() < 50
    assert dataset[1]['img'].min() > 200
    return 'The dark one stays dark (below 50), the bright one bright (above 200): one range for all.'


@case(SECTION, 'Images to fit on that reach 4000, images to test that reach 400', 'tools/test.py (ValueRangeHook)')
def _fit_and_test(folder):
    fit = images(folder, (RAMP * 4000).astype(np.uint16), name='fit')
    test = images(folder, (RAMP * 400).astype(np.uint16), name='test')
    ValueRangeHook().before_run(runner_of(fit=fit, test=test))
    assert fit.value_range == test.value_range
    assert test[0]['img'].max() < 30
    return 'The test images are read by the range of those that are fitted on: they stay dark.'


@case(SECTION, 'A checkpoint of images of 0..1, test images of 0..400', 'tools/test.py (ValueRangeHook)')
def _other_kind(folder):
    test = images(folder, (RAMP * 400).astype(np.uint16))
    with log_lines() as lines:
        ValueRangeHook().after_load_checkpoint(runner_of(test=test),
                                               dict(meta=dict(dataset_meta=dict(value_range=(0, 1)))))
    return said(lines, 'of another kind')


@case(SECTION, 'Two data sets of different ranges that are joined', 'ConcatDataset([A, B])')
def _joined(folder):
    parts = [images(folder, (RAMP * top).astype(np.uint16), name=str(top)) for top in (1000, 4000)]
    joined = ConcatDataset(parts)
    share_value_range(joined)
    assert parts[0].value_range == parts[1].value_range
    return 'They share one range, measured on both.'


@case(SECTION, 'Bytes, nodata=-9999', 'read_image(FILE, nodata=-9999)')
def _no_wrap(folder):
    array = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(array).save(folder / 'a.png')
    image, missing = read_with_missing(folder / 'a.png', nodata=-9999)
    assert missing is None
    assert np.array_equal(image[..., 0], array)
    return 'No byte is -9999: nothing is missing, nothing changes.'


@case(SECTION, 'An image without a single number (all NaN)', COMMAND)
def _all_missing(folder):
    dataset = images(folder, np.full((8, 8), np.nan, np.float32))
    assert dataset.value_range is None
    assert not dataset[0]['img'].any()
    assert dataset[0]['missing'].all()
    return 'Read as black; all pixels are marked as without data.'


@case(SECTION, 'Upper half without data, mask of ones', 'VOCLayoutDataset(FOLDER)')
def _labels(folder):
    for part in ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation'):
        (folder / part).mkdir(parents=True)
    array = (RAMP * 100).astype(np.float32)
    array[:32] = np.inf
    tifffile.imwrite(folder / 'JPEGImages/a.tif', array)
    Image.fromarray(np.ones((64, 64), np.uint8)).save(folder / 'SegmentationClass/a.png')
    (folder / 'ImageSets/Segmentation/val.txt').write_text('a')
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    labels = VOCLayoutDataset(str(folder), pipeline=pipeline)[0]['gt_seg_map']
    assert np.unique(labels[:32]).tolist() == [255]
    assert np.unique(labels[32:]).tolist() == [1]
    return 'The pixels without data have the ignored label (255): they are not scored.'


@case(SECTION, 'TIFF of 6 bands', 'LoadImage(bands=6)')
def _bands(folder):
    (folder / 'in').mkdir()
    tifffile.imwrite(folder / 'in/a.tif', np.stack([(RAMP * 4000).astype(np.uint16)] * 6, 2),
                     photometric='minisblack', planarconfig='contig')
    dataset = UnlabelledImages(str(folder / 'in'), pipeline=[dict(type='leopart_mm.LoadImage', bands=6)])
    image = dataset[0]['img']
    assert image.shape == (64, 64, 6)
    assert image.dtype == np.float32
    assert image.max() == 255
    return 'Read, 64 x 64 x 6, scaled by the range of the data set.'
