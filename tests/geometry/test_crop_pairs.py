"""Alignment as matrices against torchvision's RoIAlign."""

import pytest
import torch
from torchvision.ops import roi_align

from leopart_mm.geometry.crop_pairs import roi_matrix
from leopart_mm.models.losses import CropPairs
from tests.models.selfsup.builders import random_batch


def _boxes(count, height, width):
    """Random boxes, tiny ones, empty ones, whole maps, and boxes that touch or leave the border."""
    generator = torch.Generator().manual_seed(0)
    size = torch.tensor([width, height])
    corners = torch.rand(2, count, 2, generator=generator) * size
    low, high = corners.amin(0), corners.amax(0)
    high[:20] = low[:20] + 0.01 * torch.rand(20, 2, generator=generator)
    high[20:25] = low[20:25]
    low[25:40] = 0
    high[30:50] = size
    high[50:60] = size + 0.125  # 98 pixels at patch 16 with the rest cut off
    high[60:65] = size + 1
    low[65:70] = -0.9
    return torch.cat([low, high], 1).float()


@pytest.mark.parametrize(('grid', 'kernel'), [((14, 14), 7), ((6, 6), 7), ((4, 4), 3), ((37, 37), 7), ((9, 16), 5),
                                              ((2, 3), 3), ((1, 1), 2), ((30, 30), 4)])
def test_equals_torchvision(grid, kernel):
    boxes = _boxes(200, *grid)
    maps = torch.randn(len(boxes), 3, *grid, generator=torch.Generator().manual_seed(1))
    expected = roi_align(maps, list(boxes[:, None]), kernel, aligned=True)
    ours = roi_matrix(boxes, kernel, grid) @ maps.flatten(2).mT
    torch.testing.assert_close(ours.mT.reshape(expected.shape), expected, rtol=0, atol=1e-6)


def test_gradient_equals_torchvision():
    boxes = _boxes(100, 6, 6)
    ours = torch.randn(len(boxes), 2, 6, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    weight = torch.randn(len(boxes), 2, 49, generator=torch.Generator().manual_seed(2))
    ((roi_matrix(boxes, 7, (6, 6)) @ ours.flatten(2).mT).mT * weight).sum().backward()
    (roi_align(theirs, list(boxes[:, None]), 7, aligned=True).flatten(2) * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-5)


def test_a_flipped_box_gives_the_mirrored_grid():
    boxes = _boxes(70, 5, 5)
    flipped = torch.arange(70) % 2 == 0
    plain = roi_matrix(boxes, 3, (5, 5)).unflatten(1, (3, 3))
    mirrored = roi_matrix(boxes, 3, (5, 5), flipped).unflatten(1, (3, 3))
    torch.testing.assert_close(mirrored[flipped], plain[flipped].flip(2))
    torch.testing.assert_close(mirrored[~flipped], plain[~flipped])


def test_pairs_show_the_same_places_and_come_in_order():
    """Maps that hold image coordinates agree between the crops of a pair, flipped or not."""
    import numpy as np

    from leopart_mm.geometry.crop_boxes import crop_boxes
    absolute = np.array([[0, 0, 64, 48], [10, 6, 70, 50], [20, 10, 44, 34]])
    sides, flips = [64, 64, 32], np.array([False, True, True])
    gc, boxes = crop_boxes(absolute, (64, 32), (2, 1), flips)
    pairs = CropPairs(
        torch.from_numpy(gc)[None], torch.from_numpy(boxes)[None], 1, 4, flipped=torch.from_numpy(flips)[None])
    assert pairs.pairs == [(0, 1), (0, 2), (1, 0), (1, 2)]
    maps = []
    for (x1, y1, x2, y2), side, flip in zip(absolute, sides, flips, strict=True):
        centre = (torch.arange(side) + 0.5) / side
        x, y = x1 + centre * (x2 - x1), y1 + centre * (y2 - y1)
        x = x.flip(0) if flip else x
        maps.append(torch.stack(torch.meshgrid(y, x, indexing='ij'), -1).flatten(0, 1)[None].float())
    teacher = pairs.align_teacher(maps[:2], (64, 64))
    student = pairs.align_student(maps, [pairs.student_matrix(v, (side, side)) for v, side in enumerate(sides)])
    torch.testing.assert_close(student, teacher, rtol=0, atol=0.6)  # the samples at the border are clamped


def test_each_pair_equals_torchvision_on_its_own():
    inputs = random_batch(3)
    pairs = CropPairs(inputs['gc_boxes'], inputs['all_boxes'], 8, 3)
    grids = [(4, 4), (4, 4), (2, 2), (2, 2)]
    maps = [torch.randn(3, h * w, 5) for h, w in grids]
    student = pairs.align_student(maps, [pairs.student_matrix(v, grid) for v, grid in enumerate(grids)])
    teacher = pairs.align_teacher(maps[:2], (4, 4))
    for index, (t, v) in enumerate(pairs.pairs):
        for ours, crop, boxes in ((teacher, t, inputs['gc_boxes'][:, t, v]), (student, v, inputs['all_boxes'][:, v,
                                                                                                             t])):
            image = maps[crop].mT.unflatten(2, grids[crop])
            expected = roi_align(image, list(boxes[:, None] / 8), 3, aligned=True)
            torch.testing.assert_close(ours[index].mT.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)


def test_shapes_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match=r'all_boxes \(B, V, T, 4\)'):
        CropPairs(torch.zeros(2, 2, 4, 4), torch.zeros(2, 2, 4, 4), 8)
    with pytest.raises(ValueError, match='at least 2'):
        CropPairs(torch.zeros(2, 1, 1, 4), torch.zeros(2, 1, 1, 4), 8)
