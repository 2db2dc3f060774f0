"""Images of more than 8 bits: one range per data set, nodata left out."""

import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import Image, TiffImagePlugin

from leopart_mm.datasets import PairedFolders, UnlabelledImages, VOCLayoutDataset, read_image

PIPELINE = [dict(type='leopart_mm.LoadImage')]
RAMP = np.linspace(0, 1, 64 * 64).reshape(64, 64)


def folder_of(root, *arrays, **options):
    root.mkdir(exist_ok=True)
    for index, array in enumerate(arrays):
        Image.fromarray(array).save(root / f'{index}.tif', **options)
    return UnlabelledImages(str(root), pipeline=PIPELINE)


@pytest.mark.parametrize('array', [(RAMP * 4000).astype(np.uint16), (RAMP * 2000 - 1000).astype(np.int32),
                                   (RAMP * 3000 + 8000).astype(np.float32)])
def test_numbers_of_any_range_use_all_grey_levels(tmp_path, array):
    dataset = folder_of(tmp_path / 'a', array, array)
    image = dataset[0]['img']
    assert image.dtype == np.uint8
    assert len(np.unique(image)) > 250
    low, high = dataset.metainfo['value_range']
    assert (low, high) == pytest.approx(tuple(np.percentile(array, (0.5, 99.5))), abs=1)


def test_a_single_pixel_changes_no_image(tmp_path):
    """The rule for floats looked at each image: one pixel of -0.003 moved the mean from 33 to 148."""
    first, second = (RAMP * 0.3).astype(np.float32), (RAMP * 0.3).astype(np.float32)
    second[0, 0] = -0.003
    for images in (folder_of(tmp_path / 'a', first, second), None):
        read = [images[index]['img'] if images else read_image(tmp_path / f'a/{index}.tif') for index in range(2)]
        assert abs(read[0].mean() - read[1].mean()) < 0.1


def test_images_of_a_data_set_stay_comparable(tmp_path):
    dark, bright = (RAMP * 500).astype(np.uint16), (RAMP * 500 + 3500).astype(np.uint16)
    dataset = folder_of(tmp_path / 'a', dark, bright)
    assert dataset[0]['img'].max() < 50
    assert dataset[1]['img'].min() > 200


@pytest.mark.parametrize('how', ['tag', 'given', 'nan'])
def test_missing_pixels_take_no_part(tmp_path, how):
    array = (RAMP * 100 + 50).astype(np.float32)
    array[:20] = np.nan if how == 'nan' else -9999
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if how == 'tag':
        tags[42113] = '-9999'
    folder_of(tmp_path / 'a', array, **(dict(tiffinfo=tags) if how == 'tag' else {}))
    dataset = UnlabelledImages(str(tmp_path / 'a'), pipeline=PIPELINE, nodata=-9999 if how == 'given' else None)
    image = dataset[0]['img']
    assert (image[:20] == 0).all()
    assert len(np.unique(image)) > 170
    assert dataset.metainfo['value_range'][0] > 50


def test_a_given_range_and_bytes_that_are_left_alone(tmp_path):
    folder_of(tmp_path / 'a', (RAMP * 4000).astype(np.uint16), (RAMP * 255).astype(np.uint8))
    dataset = UnlabelledImages(str(tmp_path / 'a'), pipeline=PIPELINE, value_range=(0, 8000))
    assert dataset[0]['img'].max() == 128
    np.testing.assert_array_equal(dataset[1]['img'][..., 0], (RAMP * 255).astype(np.uint8))
    assert folder_of(tmp_path / 'b', (RAMP * 255).astype(np.uint8)).metainfo['value_range'] is None
    with pytest.raises(ValueError, match='low < high'):
        UnlabelledImages(str(tmp_path / 'a'), value_range=(5, 5))


def test_every_data_set_reads_alike(tmp_path):
    for part in ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation'):
        (tmp_path / part).mkdir(parents=True)
    Image.fromarray((RAMP * 4000).astype(np.uint16)).save(tmp_path / 'JPEGImages/a.tif')
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / 'SegmentationClass/a.png')
    (tmp_path / 'ImageSets/Segmentation/val.txt').write_text('a')
    pipeline = [dict(type='LoadImageFromFile')]
    found = [UnlabelledImages(str(tmp_path / 'JPEGImages'), pipeline=PIPELINE)[0]['img'],
             VOCLayoutDataset(str(tmp_path), pipeline=pipeline)[0]['img'],
             PairedFolders(str(tmp_path), dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
                           img_suffix='.tif', pipeline=pipeline)[0]['img']]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_pages_are_not_left_out_in_silence(tmp_path, capsys):
    MMLogger.get_instance('pages', log_level='INFO')
    pages = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (10, 200)]
    pages[0].save(tmp_path / 'a.tif', save_all=True, append_images=pages[1:])
    assert (read_image(tmp_path / 'a.tif') == 10).all()
    said = capsys.readouterr()
    assert 'several pages, of which the first is read' in said.out + said.err
