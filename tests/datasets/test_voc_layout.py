"""Folders in VOC layout: classes, splits, subsets, and messages for what is missing."""

import json

import numpy as np
import pytest
from PIL import Image

from leopart_mm.datasets import ImageReadError, UnlabelledImages, VOCLayoutDataset
from leopart_mm.registry import DATASETS
from tests.paths import SHARED

LOADING = [dict(type='mmseg.LoadImageFromFile'), dict(type='mmseg.LoadAnnotations'),
           dict(type='mmseg.PackSegInputs', meta_keys=('img_path', 'ori_shape', 'sample_idx'))]


@pytest.fixture
def root(tmp_path):
    """Four images of which one is a PNG, masks whose first pixel is the image's number; no meta.json."""
    for folder in ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation'):
        (tmp_path / folder).mkdir(parents=True)
    for index in range(4):
        suffix = 'png' if index == 3 else 'jpg'
        Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / f'JPEGImages/im.{index}.{suffix}')
        mask = Image.fromarray(np.full((6, 8), index, np.uint8), mode='P')
        mask.putpalette(list(range(30)))
        mask.save(tmp_path / f'SegmentationClass/im.{index}.png')
    (tmp_path / 'ImageSets/Segmentation/train.txt').write_text('im.0\nim.1\n')
    (tmp_path / 'ImageSets/Segmentation/val.txt').write_text('im.3\n\nim.2\n')
    return tmp_path


def stems(dataset):
    return [dataset.get_data_info(index)['img_path'].split('/')[-1][:4] for index in range(len(dataset))]


def test_splits_and_defaults(root):
    dataset = VOCLayoutDataset(str(root))
    assert stems(dataset) == ['im.3', 'im.2']
    assert len(dataset.metainfo['classes']) == len(dataset.metainfo['palette']) == 21
    assert dataset.metainfo['classes'][15] == 'person'
    assert dataset.metainfo['label_map'] is None
    assert stems(VOCLayoutDataset(str(root), split=('train', 'val'))) == ['im.0', 'im.1', 'im.3', 'im.2']
    assert stems(VOCLayoutDataset(str(root), split=('train', 'val'), num_samples=3)) == ['im.0', 'im.1', 'im.3']
    assert stems(VOCLayoutDataset(str(root), ann_file='ImageSets/Segmentation/train.txt')) == ['im.0', 'im.1']


def test_samples_carry_masks_and_index(root):
    dataset = DATASETS.build(dict(type='leopart_mm.VOCLayoutDataset', data_root=str(root), pipeline=LOADING,
                                  test_mode=True))
    sample = dataset[1]
    assert sample['inputs'].shape == (3, 6, 8)
    assert sample['data_samples'].sample_idx == 1
    assert (sample['data_samples'].gt_sem_seg.data == 2).all()


def test_meta_json(root):
    content = dict(classes=['a', 'b', 'c', 'd'], palette=[[0, 0, 0], [9, 9, 9], [1, 2, 3], [4, 5, 6]], ignore_index=254)
    (root / 'meta.json').write_text(json.dumps(content))
    dataset = VOCLayoutDataset(str(root))
    assert list(dataset.metainfo['classes']) == ['a', 'b', 'c', 'd']
    assert dataset.metainfo['palette'] == content['palette']
    assert dataset.ignore_index == 254
    mapped = VOCLayoutDataset(str(root), metainfo=dict(classes=('c', 'a')), pipeline=LOADING)
    assert mapped.metainfo['label_map'] == {0: 1, 1: 255, 2: 0, 3: 255}
    assert mapped.metainfo['palette'] == [[1, 2, 3], [0, 0, 0]]
    assert [int(mapped[index]['data_samples'].gt_sem_seg.data.max()) for index in range(2)] == [255, 0]
    with pytest.raises(ValueError, match='zebra'):
        VOCLayoutDataset(str(root), metainfo=dict(classes=('zebra', )))
    (root / 'meta.json').write_text(json.dumps(dict(classes=['a'], palette=[[0, 0, 0]] * 2)))
    with pytest.raises(ValueError, match='1 classes but 2 colours'):
        VOCLayoutDataset(str(root))
    (root / 'meta.json').write_text('{}')
    with pytest.raises(ValueError, match='must be json'):
        VOCLayoutDataset(str(root))


def test_missing_parts_are_named(root):
    with pytest.raises(FileNotFoundError, match='nowhere does not exist'):
        VOCLayoutDataset(str(root / 'nowhere'))
    with pytest.raises(FileNotFoundError, match=r'trainaug\.txt.*There are: train, val'):
        VOCLayoutDataset(str(root), split='trainaug')
    with pytest.raises(FileNotFoundError, match=r'--cfg-options train_split=train train_masks=SegmentationClass'):
        VOCLayoutDataset(str(root), split='trainaug')
    with pytest.raises(FileNotFoundError, match=r'SegmentationClassAug is missing.*seg_map_path.*options train_split='):
        VOCLayoutDataset(str(root), data_prefix=dict(seg_map_path='SegmentationClassAug'))
    (root / 'SegmentationClass' / 'im.2.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 of 2 listed masks.*im\.2\.png'):
        VOCLayoutDataset(str(root))
    assert 'seg_map_path' not in VOCLayoutDataset(str(root), data_prefix=dict(seg_map_path=None)).get_data_info(0)
    (root / 'JPEGImages' / 'im.3.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 of 2 listed images.*im\.3'):
        VOCLayoutDataset(str(root))
    (root / 'ImageSets/Segmentation/val.txt').write_text('\n')
    with pytest.raises(ValueError, match='names no image'):
        VOCLayoutDataset(str(root))


def test_an_unreadable_image_is_skipped_without_masks_and_an_error_with_them(root):
    (root / 'JPEGImages' / 'im.3.png').write_bytes(b'')
    pipeline = [dict(type='leopart_mm.LoadImage')]
    unlabelled = VOCLayoutDataset(str(root), data_prefix=dict(seg_map_path=None), pipeline=pipeline)
    assert unlabelled[0]['img_path'].endswith('im.2.jpg')
    assert unlabelled.corrupt.tolist() == [1, 0]
    labelled = VOCLayoutDataset(str(root), pipeline=pipeline)
    with pytest.raises(ImageReadError, match=r'im\.3\.png: the file is empty'):
        labelled[0]
    with pytest.raises(ValueError, match=r'seg_map_path=None'):
        VOCLayoutDataset(str(root), on_corrupt='skip')


@pytest.mark.parametrize('line', ['im.2', 'im.2.jpg', 'im.2 -1', r'JPEGImages\im.2.jpg', '/JPEGImages/im.2.jpg',
                                  '/JPEGImages/im.2.jpg /SegmentationClass/im.2.png',
                                  r'JPEGImages\im.2.jpg SegmentationClass\im.2.png'])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_lists_as_people_write_them(root, line, encoding):
    (root / 'ImageSets/Segmentation/val.txt').write_text(f'{line}\r\n', encoding=encoding)
    info = VOCLayoutDataset(str(root)).get_data_info(0)
    assert info['img_path'] == str(root / 'JPEGImages/im.2.jpg')
    assert info['seg_map_path'] == str(root / 'SegmentationClass/im.2.png')
    images = UnlabelledImages(str(root), 'ImageSets/Segmentation/val.txt', dict(img_path='JPEGImages'))
    assert images.get_data_info(0)['img_path'] == str(root / 'JPEGImages/im.2.jpg')


def test_masks_that_the_list_names_win(root):
    (root / 'Augmented').mkdir()
    (root / 'SegmentationClass/im.2.png').rename(root / 'Augmented/im.2.png')
    (root / 'ImageSets/Segmentation/val.txt').write_text('/JPEGImages/im.2.jpg /Augmented/im.2.png\n')
    assert VOCLayoutDataset(str(root)).get_data_info(0)['seg_map_path'] == str(root / 'Augmented/im.2.png')


def test_suffixes_that_are_more_than_an_ending(root):
    (root / 'JPEGImages/im.2.jpg').rename(root / 'JPEGImages/im.2_left.jpg')
    (root / 'ImageSets/Segmentation/val.txt').write_text('im.2\n')
    dataset = VOCLayoutDataset(str(root), img_suffix='_left.jpg')
    assert dataset.get_data_info(0)['img_path'].endswith('im.2_left.jpg')
    assert dataset.get_data_info(0)['seg_map_path'].endswith('SegmentationClass/im.2.png')


@pytest.mark.skipif(not (SHARED / 'data/msrc21').is_dir(), reason='needs the real sample images')
def test_real_images():
    dataset = VOCLayoutDataset(str(SHARED / 'data/msrc21'), split='train', pipeline=LOADING)
    assert len(dataset) == 279
    assert dataset.metainfo['classes'][20] == 'boat'
    sample = dataset[0]['data_samples']
    assert sample.gt_sem_seg.data.shape[1:] == sample.ori_shape
