"""Masks as people have them: ids, colours, 0 and 255, turned photos."""

import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import Image

from leopart_mm.datasets import VOCLayoutDataset
from leopart_mm.datasets.mask_reading import MaskError, read_mask
from leopart_mm.datasets.transforms import LoadMask

MASK = np.arange(24, dtype=np.uint8).reshape(4, 6) % 5
EXIF_TURNS = {3: lambda a: np.rot90(a, 2), 6: lambda a: np.rot90(a, -1), 8: np.rot90, 5: np.transpose}


@pytest.mark.parametrize('stored', ['L', 'P', 'RGB', 'LA', 'I;16'])
def test_ids_in_any_mode(tmp_path, stored):
    if stored == 'I;16':
        Image.fromarray(MASK.astype(np.uint16)).save(tmp_path / 'a.png')
    elif stored == 'P':
        image = Image.fromarray(MASK, mode='P')
        image.putpalette(list(range(30)))
        image.save(tmp_path / 'a.png')
    else:
        Image.fromarray(MASK).convert(stored).save(tmp_path / 'a.png')
    mask = read_mask(tmp_path / 'a.png')
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, MASK)


def test_what_is_no_label_map_is_named_with_the_cure(tmp_path):
    Image.fromarray(np.stack([MASK, MASK, MASK * 2], -1)).save(tmp_path / 'rgb.png')
    Image.fromarray(MASK.astype(np.uint16) * 100).save(tmp_path / 'many.png')
    (tmp_path / 'broken.png').write_bytes(b'\x89PNG')
    for name, message in (('rgb.png', r'rgb\.png is a picture with 3 channels.*colour_masks\.py'),
                          ('many.png', r'many\.png holds values from 0 to 400'), ('broken.png', r'broken\.png cannot'),
                          ('gone.png', r'gone\.png cannot be read.*No such file')):
        with pytest.raises(MaskError, match=message):
            read_mask(tmp_path / name)


def voc(root, image, masks, exif=None):
    """A data set with one image and the given masks, one per name."""
    for folder in ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation'):
        (root / folder).mkdir(parents=True)
    for name, mask in masks.items():
        options = {}
        if exif is not None:
            options['exif'] = Image.Exif()
            options['exif'][0x0112] = exif
        Image.fromarray(image).save(root / f'JPEGImages/{name}.jpg', **options)
        Image.fromarray(mask).save(root / f'SegmentationClass/{name}.png')
    (root / 'ImageSets/Segmentation/val.txt').write_text('\n'.join(masks))
    return VOCLayoutDataset(str(root), pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')])


@pytest.mark.parametrize('orientation', [5, 6, 8])
def test_masks_in_sensor_orientation_are_turned_as_their_image(tmp_path, orientation):
    upright = EXIF_TURNS[orientation](MASK)
    image = np.repeat(MASK[..., None] * 40, 3, 2).repeat(8, 0).repeat(8, 1)
    sample = voc(tmp_path, image, dict(a=MASK.repeat(8, 0).repeat(8, 1)), orientation)[0]
    assert sample['img'].shape[:2] == sample['gt_seg_map'].shape
    np.testing.assert_array_equal(sample['gt_seg_map'], upright.repeat(8, 0).repeat(8, 1))
    assert np.abs(sample['img'][..., 0].astype(int) - 40 * sample['gt_seg_map']).mean() < 12  # they lie alike


def test_masks_that_lie_upright_already_and_lower_resolutions_are_kept(tmp_path):
    upright = EXIF_TURNS[6](MASK).repeat(8, 0).repeat(8, 1)
    image = np.zeros((32, 48, 3), np.uint8)
    dataset = voc(tmp_path, image, dict(a=upright, b=upright[::2, ::2]), 6)
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], upright)
    np.testing.assert_array_equal(dataset[1]['gt_seg_map'], upright[::2, ::2])


@pytest.mark.parametrize(('orientation', 'shape'), [(3, (32, 48)), (2, (32, 48)), (6, (32, 32))])
def test_where_the_shape_says_nothing_an_option_decides(tmp_path, orientation, shape, capsys):
    """Half a turn, a mirrored and a square photo: the mask has the image's shape either way."""
    MMLogger.get_instance('turned', log_level='INFO')
    mask = np.zeros(shape, np.uint8)
    mask[:8] = 1
    dataset = voc(tmp_path, np.repeat(mask[..., None] * 200, 3, 2), dict(a=mask), orientation)
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], mask)
    dataset[0]
    said = capsys.readouterr()
    assert (said.out + said.err).count('its mask fits turned and unturned: it is taken as upright') == 1
    results = dataset.get_data_info(0)
    results.update(ori_shape=shape)
    turned = {2: np.fliplr, 3: lambda a: np.rot90(a, 2), 6: lambda a: np.rot90(a, -1)}[orientation](mask)
    for how, expected in (('sensor', turned), ('upright', mask)):
        loaded = LoadMask(orientation=how).transform(dict(results, seg_fields=[]))['gt_seg_map']
        np.testing.assert_array_equal(loaded, expected)
    with pytest.raises(ValueError, match="orientation='left' must be one of auto, upright, sensor"):
        LoadMask(orientation='left')


def test_masks_of_other_images_are_refused(tmp_path):
    dataset = voc(tmp_path, np.zeros((32, 48, 3), np.uint8), dict(a=MASK.T.repeat(8, 0).repeat(8, 1)))
    with pytest.raises(MaskError, match=r'a\.png has 48 x 32 pixels, its image .*a\.jpg 32 x 48'):
        dataset[0]


def test_a_foreground_of_0_and_255_is_said_loudly(tmp_path, capsys):
    MMLogger.get_instance('odd-masks', log_level='INFO')
    mask = np.zeros((32, 48), np.uint8)
    mask[:8] = 255
    voc(tmp_path / 'odd', np.zeros((32, 48, 3), np.uint8), dict(a=mask, b=mask))
    said = capsys.readouterr()
    assert '25% of their pixels are 255' in said.out + said.err
    assert 'colour_masks.py --binary' in said.out + said.err
    voc(tmp_path / 'fine', np.zeros((32, 48, 3), np.uint8), dict(a=mask, b=mask // 255))
    said = capsys.readouterr()
    assert '--binary' not in said.out + said.err


def test_a_class_is_found_however_late_it_comes(tmp_path, capsys):
    """Eight masks were looked at, which a data set of mostly empty masks may all have empty."""
    MMLogger.get_instance('late-masks', log_level='INFO')
    empty = np.zeros((8, 8), np.uint8)
    empty[0] = 255
    masks = {f'{number:02}': empty + (number == 37) * np.eye(8, k=-1, dtype=np.uint8) for number in range(40)}
    voc(tmp_path, np.zeros((8, 8, 3), np.uint8), masks)
    said = capsys.readouterr()
    assert '--binary' not in said.out + said.err


def test_labels_are_mapped_and_shifted_as_mmseg_does(tmp_path):
    Image.fromarray(np.array([[0, 1, 2, 255]], np.uint8)).save(tmp_path / 'a.png')
    results = dict(seg_map_path=str(tmp_path / 'a.png'), reduce_zero_label=True, label_map=None, seg_fields=[])
    assert LoadMask().transform(results)['gt_seg_map'].tolist() == [[255, 0, 1, 255]]
    results = dict(results, reduce_zero_label=False, label_map={0: 255, 1: 0, 2: 1}, seg_fields=[])
    assert LoadMask().transform(results)['gt_seg_map'].tolist() == [[255, 0, 1, 255]]
