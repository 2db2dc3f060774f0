"""CocoInstances and LoadInstances: labels by category, masks in every form, and what is refused."""

import json

import cv2
import numpy as np
import pytest
from mmengine.dataset import pseudo_collate

from leopart_mm.datasets import CocoInstances
from leopart_mm.datasets.image_reading import ImageReadError
from leopart_mm.datasets.samplers import Draw
from leopart_mm.datasets.transforms import LoadImage, LoadInstances, SeedFromDraw
from tests.datasets.instance_scenes import write_instances

COCO = [dict(id=3, name='car'), dict(id=1, name='person')]


@pytest.fixture
def scenes(tmp_path):
    return write_instances(tmp_path / 'scenes', 6)


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return file


def build(file, **arguments):
    return CocoInstances(str(file.parent / 'images'), **dict(dict(ann_file=str(file)), **arguments))


def samples(dataset):
    return [dataset[index] for index in range(len(dataset))]


def load(dataset, index=0):
    return LoadInstances()(LoadImage()(dataset.get_data_info(index)))


def test_labels_are_places_of_the_ids_and_the_unused_background_is_none(tmp_path, scenes):
    dataset = build(scenes, num_classes=2)
    assert dataset.metainfo['classes'] == ('square', 'disc')
    assert dataset.metainfo['category_ids'] == (0, 1)
    coco = build(write_instances(tmp_path / 'coco', 6, categories=COCO))  # squares are cars
    assert coco.metainfo == dict(classes=('person', 'car'), category_ids=(1, 3))
    for ours, theirs in zip(samples(dataset), samples(coco), strict=True):
        assert ours['img_id'] == theirs['img_id']
        assert [1 - entry['bbox_label'] for entry in ours['instances']] == [
            entry['bbox_label'] for entry in theirs['instances']]


def test_masks_of_every_form_are_those_of_the_picture(scenes):
    dataset = build(scenes)
    kinds = set()
    for index in range(len(dataset)):
        sample = load(dataset, index)
        assert sample['gt_masks'].masks.shape[1:] == (64, 64)
        for entry, mask, label, box in zip(sample['instances'], sample['gt_masks'].masks, sample['gt_bboxes_labels'],
                                           sample['gt_bboxes'].tensor.numpy(), strict=True):
            kinds.add(type(entry['mask']))
            painted = sample['img'][..., 2 if label == 0 else 1] == 220
            inside = painted[mask > 0].mean()
            assert inside > 0.9, 'polygons go through the centres of pixels, run lengths are exact'
            x1, y1, x2, y2 = box.astype(int)
            assert mask.sum() == mask[y1:y2 + 1, x1:x2 + 1].sum()
            assert mask[y1:y2, x1:x2].mean() > 0.5
    assert kinds == {dict, list}


def test_an_instance_without_a_pixel_is_left_out_and_crowds_are_ignored(scenes):
    def change(content):
        first = content['annotations'][0]
        content['annotations'] += [dict(first, id=90, segmentation=[[3, 3, 4, 4, 3, 3]]),  # decodes to nothing
                                   dict(first, id=91, iscrowd=1)]
        content['annotations'] = [entry for entry in content['annotations'] if entry['image_id'] == first['image_id']]

    dataset = build(edit(scenes, change))
    plain = len(dataset.get_data_info(0)['instances']) - 2
    sample = load(dataset)
    assert len(sample['gt_masks'].masks) == plain + 1
    assert sample['gt_ignore_flags'].tolist() == [False] * plain + [True]


def test_images_without_instance_are_predicted_on_but_not_trained_on(scenes):
    edit(scenes, lambda content: content.update(annotations=[entry for entry in content['annotations']
                                                             if entry['image_id'] in (2, 5)]))
    assert [sample['img_id'] for sample in samples(build(scenes))] == [2, 5]
    assert len(build(scenes, keep_empty=True)) == len(build(scenes, test_mode=True)) == 6
    empty = load(build(scenes, keep_empty=True))
    assert empty['gt_masks'].masks.shape == (0, 64, 64)
    assert tuple(empty['gt_bboxes'].tensor.shape) == (0, 4)
    edit(scenes, lambda content: content.update(annotations=[]))
    with pytest.raises(ValueError, match=r'leaves no image to train on.*keep_empty'):
        build(scenes)


def test_a_folder_is_predicted_on_by_names(scenes):
    dataset = build(scenes, ann_file='', test_mode=True)
    assert [sample['img_id'] for sample in samples(dataset)] == [f'{number:03d}.png' for number in range(6)]
    assert dataset.metainfo == {}


@pytest.mark.parametrize(('change', 'message'), [
    (lambda content: content['categories'].append(dict(id=7, name='hat')),
     r"instances.json has 3 categories, up to id 7 \('hat'\), but the model has 2 classes: .*num_classes=3"),
    (lambda content: content['annotations'][1].update(category_id=9), '9'),
    (lambda content: content['annotations'][1].update(image_id=77), '77'),
    (lambda content: content['annotations'][0].update(segmentation=[]), 'annotation 1 of image 1 has no mask'),
    (lambda content: content['images'].append(dict(id=50, file_name='gone.png', height=64, width=64)),
     r'1 of 7 listed images are missing.*gone.png'),
])
def test_what_does_not_fit_is_named(scenes, change, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        build(edit(scenes, change), num_classes=2)


def test_a_file_that_is_cut_off_or_missing_is_named(scenes):
    with pytest.raises(FileNotFoundError, match=r'no file of annotations none.json.*generate_masks'):
        build(scenes, ann_file='none.json')
    scenes.write_text(scenes.read_text()[:-30])
    with pytest.raises(ValueError, match=r'instances\.json'):
        build(scenes)


def test_an_image_of_another_size_than_its_annotations_is_skipped_or_an_error(scenes):
    cv2.imwrite(str(scenes.parent / 'images' / '000.png'), np.zeros((64, 32, 3), np.uint8))
    with pytest.raises(ImageReadError, match=r'000.png: it has 64 x 32 pixels, but its annotations are for 64 x 64'):
        load(build(scenes))
    dataset = build(scenes, pipeline=[dict(type='leopart_mm.LoadImage'), dict(type='leopart_mm.LoadInstances')])
    assert dataset[0]['img_id'] == 2
    assert dataset.num_corrupt == 1


def test_global_generators_follow_the_draw():
    step = SeedFromDraw()
    numbers = []
    for draw in (Draw(3, 10, 0), Draw(3, 11, 0), Draw(3, 10, 0), 3):
        np.random.seed(5)
        assert step(dict(sample_idx=draw)) == dict(sample_idx=draw)
        numbers.append(np.random.rand())
    np.random.seed(5)
    assert numbers[0] == numbers[2] != numbers[1]
    assert numbers[3] == np.random.rand()


def test_a_batch_of_mmdetection_is_made_of_it(scenes):
    import mmdet.datasets.transforms  # noqa: F401
    from mmengine.registry import DefaultScope
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = build(scenes, pipeline=[
            dict(type='LoadImageFromFile'), dict(type='leopart_mm.LoadInstances'),
            dict(type='Resize', scale=(96, 96), keep_ratio=True), dict(type='RandomFlip', prob=1.),
            dict(type='PackDetInputs')])
        batch = pseudo_collate([dataset[0], dataset[1]])
    for image, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
        assert image.shape == (3, 96, 96)
        for label, box, mask in zip(sample.gt_instances.labels, sample.gt_instances.bboxes.tensor,
                                    sample.gt_instances.masks.masks, strict=True):
            x1, y1, x2, y2 = box.int().tolist()
            painted = image[2 if label == 0 else 1, y1:y2, x1:x2] > 200
            assert painted.float().mean() > 0.6, 'box, label and picture went the same way'
            assert mask[y1:y2, x1:x2].mean() > 0.6
