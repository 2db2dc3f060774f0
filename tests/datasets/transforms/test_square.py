"""Squares of images and maps: sizes, rules, kinds of pixels, flips."""

import numpy as np
import pytest
import torch
from PIL import Image

from leopart_mm.datasets.samplers.draw import Draw
from leopart_mm.datasets.transforms import CentreCrop, ResizeShorterSide, SegRandomFlip, SegRandomResizedCrop
from leopart_mm.datasets.transforms.resizing import resize_image


def sample(height=50, width=90, dtype=np.uint8, channels=3):
    image = np.random.default_rng(0).integers(0, 256, (height, width, channels)).astype(dtype)
    ids = np.arange(height * width, dtype=np.int32).reshape(height, width)
    return dict(img=image, gt_seg_map=(ids % 251).astype(np.uint8), proposals=ids,
                seg_fields=['gt_seg_map', 'proposals'])


def test_all_maps_follow_the_image():
    results = sample()
    results['missing'] = results['gt_seg_map'] == 3
    before = results['proposals']
    results = CentreCrop(20).transform(ResizeShorterSide(20).transform(results))
    assert results['img'].shape == (20, 20, 3)
    assert results['img_shape'] == results['gt_seg_map'].shape == results['missing'].shape == (20, 20)
    assert results['scale_factor'] == (36 / 90, 20 / 50)
    # pixel centres: column c of the crop is column 8 + c of 36, at (8.5 + c) * 2.5 of 90
    rows, columns = ((np.arange(20) + 0.5) * 2.5).astype(int), ((np.arange(20) + 8.5) * 2.5).astype(int)
    np.testing.assert_array_equal(results['proposals'], before[rows[:, None], columns])
    np.testing.assert_array_equal(results['gt_seg_map'], before[rows[:, None], columns] % 251)
    np.testing.assert_array_equal(results['missing'], results['gt_seg_map'] == 3)


@pytest.mark.parametrize(('height', 'width', 'top', 'left'), [(11, 8, 2, 0), (8, 13, 0, 2), (8, 8, 0, 0)])
def test_the_middle_is_rounded_half_to_even(height, width, top, left):
    results = CentreCrop(8).transform(sample(height, width))
    assert results['proposals'][0, 0] == top * width + left


def test_the_part_that_is_left_is_known_through_several_crops():
    results = CentreCrop(8).transform(sample(8, 16))
    assert results['crop_box'] == (0, 1, 0.25, 0.75)
    assert CentreCrop(4).transform(results)['crop_box'] == (0.25, 0.75, 0.375, 0.625)


def test_a_square_larger_than_the_image():
    with pytest.raises(ValueError, match=r'a\.jpg has 50 x 90 pixels, less than a square of 60: put ResizeShorterSide'):
        CentreCrop(60).transform(dict(sample(), img_path='a.jpg'))


@pytest.mark.parametrize('make', [lambda: ResizeShorterSide(8, 'cubic'), lambda: ResizeShorterSide(0),
                                  lambda: SegRandomResizedCrop(8, method='cubic'), lambda: SegRandomFlip(1.5)])
def test_wrong_arguments(make):
    with pytest.raises(ValueError, match='must be'):
        make()


def test_methods():
    image = sample()['img']
    pillow = np.asarray(Image.fromarray(image).resize((36, 20), Image.BILINEAR))
    np.testing.assert_array_equal(resize_image(image, (20, 36)), pillow)
    plain = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    for method, antialias in (('float', True), ('aliased', False)):
        expected = torch.nn.functional.interpolate(plain, (20, 36), mode='bilinear', antialias=antialias)
        found = resize_image(image, (20, 36), method)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected[0].permute(1, 2, 0))
    smooth = resize_image(image, (20, 36), 'float')
    assert np.abs(smooth - pillow).max() <= 1.01  # Pillow rounds after each of the two axes
    assert np.abs(resize_image(image, (20, 36), 'aliased') - pillow).max() > 20


@pytest.mark.parametrize(('dtype', 'channels'), [(np.float32, 3), (np.float32, 5), (np.uint8, 5), (np.uint16, 1)])
def test_images_of_other_kinds_are_anti_aliased_too(dtype, channels):
    image = sample(dtype=dtype, channels=channels)['img']
    found = resize_image(image, (20, 36))
    assert found.dtype == (np.uint8 if dtype == np.uint8 else np.float32)
    numbers = image.astype(np.float32) / (257 if dtype == np.uint16 else 1)
    bands = [np.asarray(Image.fromarray(numbers[..., band]).resize((36, 20), Image.BILINEAR))
             for band in range(channels)]
    np.testing.assert_allclose(found, np.stack(bands, -1), rtol=0, atol=1.01 if dtype == np.uint8 else 1e-3)


def test_flips_belong_to_the_sample():
    flip = SegRandomFlip(0.5)
    draws = []
    for number in range(200):
        results = flip.transform(dict(sample(), sample_idx=Draw(0, number, 1)))
        draws.append(results['flip'])
        assert results['proposals'][0, 0] == (89 if results['flip'] else 0)
        assert results['gt_seg_map'][0, 0] == (89 if results['flip'] else 0)
        assert np.array_equal(results['img'][:, ::-1] if results['flip'] else results['img'], sample()['img'])
        assert results['flip_direction'] == ('horizontal' if results['flip'] else None)
    assert 80 < sum(draws) < 120
    assert [flip.draw(dict(sample_idx=Draw(3, number, 1))) for number in range(200)] == draws


def test_a_crop_of_everything_changes_nothing():
    results = CentreCrop(50).transform(sample())
    before = dict(results)
    crop = SegRandomResizedCrop(50, scale=(1., 1.), ratio=(1., 1.), method='pillow').transform(results)
    for key in ('img', 'gt_seg_map', 'proposals'):
        np.testing.assert_array_equal(crop[key], before[key])
