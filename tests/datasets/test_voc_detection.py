"""VOC's detection layout, as it is unpacked: masks, clusters with a support set, predictions and ground truths."""

import numpy as np
import pytest

from leopart_mm.apis.image_catalogue import write_image_catalogue
from leopart_mm.apis.mask_sets import GroundTruth, MaskSet
from leopart_mm.datasets import CocoInstances, UnlabelledImages, VOCLayoutDataset
from leopart_mm.datasets.coco_json import read_coco, write_coco
from leopart_mm.datasets.converters.voc_instances import convert
from leopart_mm.evaluation.instance_report import evaluate_instances
from leopart_mm.masks.coco_masks import object_annotation
from tests.datasets.voc_scenes import BOXES, SIZE, write_voc

PREFIX = dict(img_path='JPEGImages')


@pytest.fixture
def devkit(tmp_path):
    write_voc(tmp_path)
    return tmp_path


def names_of(dataset):
    return [dataset.get_data_info(index)['img_path'].rpartition('/')[2][:-4] for index in range(len(dataset))]


def write_masks(file, names):
    """A mask per image, on the dog of the first one and on the person of the others."""
    images, masks = [], []
    for number, name in enumerate(names):
        mask = np.zeros(SIZE, bool)
        x1, y1, x2, y2 = BOXES['person' if number else 'dog']
        mask[y1:y2, x1:x2] = True
        images.append(dict(id=number, file_name=f'{name}.jpg', height=SIZE[0], width=SIZE[1]))
        masks.append(dict(object_annotation(mask, 0), id=number + 1, image_id=number))
    write_coco(file, images, masks, [dict(id=0, name='object')])
    return file


@pytest.mark.parametrize(('lists', 'names'), [
    ('ImageSets/Main/trainval.txt', ['000002', '000001']),
    ('ImageSets/Main/dog_trainval.txt', ['000002', '000001']),
    (['ImageSets/Main/trainval.txt', 'ImageSets/Main/test.txt'], ['000002', '000001', '000003']),
    (['ImageSets/Main/test.txt', 'ImageSets/Main/trainval.txt', 'ImageSets/Segmentation/trainval.txt'],
     ['000003', '000002', '000001']),
])
def test_images_of_lists_for_masks(devkit, lists, names):
    assert names_of(UnlabelledImages(str(devkit / 'VOC2007'), lists, PREFIX)) == names


def test_both_lists_of_a_name(devkit):
    root = str(devkit / 'VOC2012')
    without_maps = dict(seg_map_path=None)
    assert names_of(VOCLayoutDataset(root, 'trainval')) == ['2007_000027']
    assert names_of(VOCLayoutDataset(root, 'Main/trainval', data_prefix=without_maps)) == ['2008_000002', '2007_000027']
    assert names_of(VOCLayoutDataset(root, ('dog_trainval', 'test'), data_prefix=without_maps)) == [
        '2008_000002', '2007_000027', '2008_000008']
    with pytest.raises(ValueError, match=r'lists trainval of different images in ImageSets/Segmentation and '
                                         r'ImageSets/Main: say which one by Segmentation/trainval or Main/trainval'):
        write_image_catalogue(root, devkit / 'list.json', 'trainval')
    assert write_image_catalogue(root, devkit / 'list.json', 'Main/trainval') == 2
    assert write_image_catalogue(root, devkit / 'list.json', 'Segmentation/trainval') == 1
    assert write_image_catalogue(root, devkit / 'list.json', 'dog_trainval') == 2
    found = CocoInstances(str(devkit / 'VOC2012/JPEGImages'), str(devkit / 'list.json'), test_mode=True)
    assert names_of(found) == ['2008_000002', '2007_000027']


def test_classes_of_masks_and_of_their_support_set(devkit):
    for year, names in (('VOC2012', ['2007_000027', '2008_000008']), ('VOC2007', ['000001', '000003'])):
        masks = MaskSet.read(write_masks(devkit / f'{year}.json', names), devkit / year / 'JPEGImages')
        assert masks.targets(GroundTruth(devkit / year)) == [11, 14]  # difficult ones too
        assert [(crop.rows, crop.columns) for crop in masks.crops()] == [
            (slice(2, 10), slice(2, 12)), (slice(4, 18), slice(14, 22))]


def test_masks_are_scored_by_the_objects_of_the_maps(devkit):
    convert(devkit / 'VOC2012', devkit / 'gt.json', 'trainval')  # that of Segmentation, which has maps
    truth = read_coco(devkit / 'gt.json')
    assert [(entry['image_id'], entry['category_id']) for entry in truth.annotations] == [
        ('2007_000027', 11), ('2007_000027', 14)]
    masks = write_masks(devkit / 'masks.json', ['2007_000027', '2008_000002'])
    with pytest.raises(ValueError, match=r'of image 1 \(2008_000002\.jpg\), which the ground truth does not list'):
        evaluate_instances(masks, devkit / 'gt.json', class_aware=False)
    report = evaluate_instances(masks, devkit / 'gt.json', class_aware=False, subset=True)
    assert report.scores['single'].ap50 == pytest.approx(1)
    assert report.scores['multi'].ap50 == pytest.approx(51 / 101)  # the dog of two objects
    assert report.unlisted == ['2008_000002.jpg']
