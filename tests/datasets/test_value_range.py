"""Images of more than 8 bits: one range per data set, nodata left out."""

import numpy as np
import pytest
import tifffile
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.logging import MMLogger
from PIL import Image, TiffImagePlugin

from leopart_mm.datasets import PairedFolders, UnlabelledImages, VOCLayoutDataset, read_image
from leopart_mm.datasets.image_reading import read_with_missing
from leopart_mm.datasets.value_range import differ_much, measure_value_range, noted_range, parts_of, share_value_range

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
    low, high = dataset.value_range
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
    assert dataset.value_range[0] > 50


def test_a_given_range_and_bytes_that_are_left_alone(tmp_path):
    folder_of(tmp_path / 'a', (RAMP * 4000).astype(np.uint16), (RAMP * 255).astype(np.uint8))
    dataset = UnlabelledImages(str(tmp_path / 'a'), pipeline=PIPELINE, value_range=(0, 8000))
    assert dataset[0]['img'].max() == 128
    np.testing.assert_array_equal(dataset[1]['img'][..., 0], (RAMP * 255).astype(np.uint8))
    assert folder_of(tmp_path / 'b', (RAMP * 255).astype(np.uint8)).value_range is None
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


def test_test_images_are_read_by_the_range_of_the_fit_images(tmp_path):
    fit = folder_of(tmp_path / 'fit', (RAMP * 4000).astype(np.uint16))
    test = folder_of(tmp_path / 'test', (RAMP * 400).astype(np.uint16))
    assert test[0]['img'].max() == 255
    share_value_range(fit, [test])
    assert test.value_range == fit.value_range
    assert test[0]['img'].max() == pytest.approx(400 / 4000 * 255, abs=2)


def test_a_given_range_stays_and_leads(tmp_path):
    fit = folder_of(tmp_path / 'fit', (RAMP * 4000).astype(np.uint16))
    given = UnlabelledImages(str(tmp_path / 'fit'), value_range=(0, 8000), nodata=7, pipeline=PIPELINE)
    own = UnlabelledImages(str(tmp_path / 'fit'), value_range='measure', pipeline=PIPELINE)
    share_value_range(fit, [given, own])
    assert (given.value_range, own.value_range) == ((0, 8000), fit.value_range)
    share_value_range(given, [fit, own])
    assert (fit.value_range, fit.nodata) == ((0, 8000), 7)
    assert own.value_range == pytest.approx((20, 3980), abs=1)


def test_joined_data_sets_share_one_range(tmp_path):
    """MMEngine refused to join data sets whose ranges differ ("The meta information ... does not match")."""
    parts = [folder_of(tmp_path / str(top), (RAMP * top).astype(np.uint16)) for top in (1000, 4000)]
    joined = ConcatDataset(parts)
    share_value_range(joined)
    assert list(parts_of(joined)) == list(parts_of(RepeatDataset(joined.datasets[0], 2))) + parts[1:] == parts
    expected = measure_value_range([part.get_data_info(0)['img_path'] for part in parts])
    assert parts[0].value_range == parts[1].value_range == expected
    assert joined[0]['img'].max() < 70 < 250 < joined[1]['img'].max()


def test_what_a_checkpoint_notes():
    assert noted_range(dict(meta=dict(dataset_meta=dict(value_range=[0, 5], nodata=3)))) == ((0., 5.), 3)
    assert noted_range(dict(meta=dict(dataset_meta=dict(classes=['a'])))) == noted_range({}) == (None, None)
    assert differ_much((0, 4000), (0, 1))
    assert not differ_much((0, 4000), (0, 3000))


@pytest.mark.parametrize('nodata', [-9999, 3.5, 1e9, np.inf])
def test_numbers_that_a_type_cannot_hold_are_no_missing_pixels(tmp_path, nodata):
    """-9999 in bytes wrapped around to 241."""
    array = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(array).save(tmp_path / 'a.png')
    image, missing = read_with_missing(tmp_path / 'a.png', nodata=nodata)
    assert missing is None
    np.testing.assert_array_equal(image[..., 0], array)


def voc_with_missing(root, bands=1):
    """A 16-bit image of which the upper half has no data, with a mask of ones."""
    for part in ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation'):
        (root / part).mkdir(parents=True)
    array = (RAMP * 4000 + 100).astype(np.uint16)
    array[:32] = 7
    array = array if bands == 1 else np.stack([array] * bands, 2)
    tifffile.imwrite(root / 'JPEGImages/a.tif', array, photometric='minisblack',
                     planarconfig='contig' if bands > 1 else None,
                     extratags=[(42113, 's', 0, '7', True)])
    Image.fromarray(np.ones((64, 64), np.uint8)).save(root / 'SegmentationClass/a.png')
    (root / 'ImageSets/Segmentation/val.txt').write_text('a')


@pytest.mark.parametrize('bands', [1, 6])
def test_pixels_without_data_have_the_ignored_label(tmp_path, bands):
    voc_with_missing(tmp_path, bands)
    load = dict(type='leopart_mm.LoadImage', bands=bands if bands > 1 else 3)
    dataset = VOCLayoutDataset(str(tmp_path), pipeline=[load, dict(type='LoadAnnotations')])
    sample = dataset[0]
    assert (sample['gt_seg_map'][:32] == 255).all()
    assert (sample['gt_seg_map'][32:] == 1).all()
    assert (sample['img'][:32] == 0).all()
    assert sample['img'].shape == (64, 64, load['bands'])
    assert sample['img'].max() == 255
    assert dataset.value_range[0] > 1000  # the lower half of the ramp


def test_the_order_of_a_list_does_not_move_the_range(tmp_path):
    """More images than are looked at, in another order, and some twice."""
    paths = [str(tmp_path / f'{number:02}.png') for number in range(45)]
    for number, path in enumerate(paths):
        Image.fromarray(np.full((4, 4), 1000 + 7 * number**2, np.uint16)).save(path)
    expected = measure_value_range(paths)
    assert expected is not None
    seen = {round(position) for position in np.linspace(0, 44, 32)}
    order = [*range(45)]
    for unseen, extreme in zip(sorted(set(order) - seen), (44, 43, 42, 0), strict=False):
        order[order.index(extreme)], order[unseen] = order[unseen], extreme  # where an even spread does not look
    assert measure_value_range([paths[index] for index in order]) == expected
    assert measure_value_range(paths + paths[:9]) == expected
