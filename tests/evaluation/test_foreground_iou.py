import math

import numpy as np
import pytest
from PIL import Image

from leopart_mm.datasets.coco_json import write_coco
from leopart_mm.evaluation.foreground_iou import ForegroundScore, mask_iou_of_file
from leopart_mm.masks.coco_masks import object_annotation

TRUTH = np.array([[0, 0, 5, 5], [0, 255, 7, 5]], np.uint8)  # four of seven pixels are foreground


def write(tmp_path, masks, truths, folder=''):
    """A file of one image per entry of `masks` (a list of masks), and the label maps that are not None."""
    (tmp_path / 'labels').mkdir()
    images, annotations = [], []
    for number, (found, truth) in enumerate(zip(masks, truths, strict=True), 1):
        images.append(dict(id=number, file_name=f'{folder}{number}.jpg', height=2, width=4))
        for mask in found:
            entry = object_annotation(np.array(mask, bool))
            annotations.append(dict(entry, id=len(annotations) + 1, image_id=number))
        if truth is not None:
            Image.fromarray(truth).save(tmp_path / 'labels' / f'{number}.png')
    write_coco(tmp_path / 'masks.json', images, annotations, [dict(id=0, name='object')])
    return tmp_path / 'masks.json', tmp_path / 'labels'


def test_the_union_of_masks_is_compared_where_pixels_count(tmp_path):
    files = write(tmp_path, [
        [[[0, 0, 1, 1], [0, 1, 0, 0]], [[0, 1, 0, 0], [0, 1, 1, 0]]],  # 3 of 4, 1 beside, 1 ignored
        [[[1, 1, 0, 0], [0, 0, 0, 1]]],  # 1 of 4, 2 beside
        [],
    ], [TRUTH] * 3, folder='JPEGImages/')
    found = mask_iou_of_file(*files)
    assert found.mean_iou == pytest.approx((3 / 5 + 1 / 6) / 3)
    assert found == ForegroundScore(found.mean_iou, 3, 0, 1, pytest.approx(4 / 7))


def test_images_without_foreground_are_left_out(tmp_path):
    whole = [np.ones((2, 4))]
    found = mask_iou_of_file(*write(tmp_path, [whole] * 3, [TRUTH, None, np.zeros((2, 4), np.uint8)]))
    assert (found.images, found.without_truth, found.without_mask) == (1, 2, 0)
    assert found.mean_iou == found.whole_image == pytest.approx(4 / 7)
    assert '0.571' in found.summary()
    assert '2 images without foreground left out' in found.summary()


def test_nothing_to_compare_is_no_score(tmp_path):
    found = mask_iou_of_file(*write(tmp_path, [[], []], [None, None]))
    assert math.isnan(found.mean_iou)
    assert (found.images, found.without_truth) == (0, 2)


def test_another_size_and_a_missing_folder_are_named(tmp_path):
    masks, labels = write(tmp_path, [[]], [np.ones((4, 4), np.uint8)])
    with pytest.raises(ValueError, match=r'1\.png has 4 x 4 pixels, its image 1\.jpg 2 x 4'):
        mask_iou_of_file(masks, labels)
    with pytest.raises(FileNotFoundError, match='nowhere does not exist'):
        mask_iou_of_file(masks, tmp_path / 'nowhere')
