import numpy as np
import pytest

from leopart_mm.masks.coco_masks import object_annotation, resize_object, resize_patch_mask
from leopart_mm.masks.instance_shapes import segmentation_mask


def test_every_touched_pixel_or_the_middle_is_object():
    mask = np.zeros((8, 8), bool)
    mask[:, 2:4] = True
    assert resize_object(mask, (4, 4)).tolist() == [[True, True, True, False]] * 4  # the filter reaches further
    assert resize_object(mask, (4, 4), threshold=127).tolist() == [[False, True, False, False]] * 4
    assert np.array_equal(resize_object(mask, (8, 8)), mask)


def test_patches_beyond_the_image_are_cut():
    mask = np.array([[True, False], [False, True]])
    found = resize_patch_mask(mask, 3, (5, 4), (5, 4))
    assert found.astype(int).tolist() == [[1, 1, 1, 0]] * 3 + [[0, 0, 0, 1]] * 2
    with pytest.raises(ValueError, match='2 x 2 patches of 3 pixels do not cover an image of 7 x 4'):
        resize_patch_mask(mask, 3, (7, 4), (7, 4))


def test_annotation_of_a_mask():
    mask = np.zeros((5, 7), bool)
    mask[1:3, 2:6] = True
    found = object_annotation(mask, 3)
    segmentation = found.pop('segmentation')
    assert found == dict(score=1., category_id=3, iscrowd=0, area=8, bbox=[2., 1., 4., 2.], width=7, height=5)
    assert np.array_equal(segmentation_mask(segmentation, (5, 7)), mask)
    assert isinstance(segmentation['counts'], str)
    outline = object_annotation(mask, shape='polygons')
    assert (outline['area'], len(outline['segmentation'])) == (8, 1)


def test_what_is_empty_or_has_no_outline_is_no_annotation():
    mask = np.zeros((5, 7), bool)
    assert object_annotation(mask) is None
    assert object_annotation(mask, shape='polygons') is None
    mask[2, 2] = True
    assert object_annotation(mask)['area'] == 1
    assert object_annotation(mask, shape='polygons') is None
