import math

import numpy as np
import pytest
import torch
from torchvision.transforms import RandomResizedCrop

from leopart_mm.geometry.crop_boxes import (
    box_area,
    centre_on,
    contained_share,
    crop_boxes,
    intersect,
    move_into,
    sample_crop,
    sample_crops,
)
from tests.paths import OWN_GOLDEN_ROOT

NUM_CROPS, SCALES = (2, 4), ((0.25, 1.0), (0.05, 0.25))


def test_overlap_boxes_by_hand():
    # 100x100 global crop at (0, 0), 50x100 one at (50, 0); local 20x20 inside both
    absolute = np.array([[0, 0, 100, 100], [50, 0, 100, 100], [60, 40, 80, 60]])
    gc_boxes, all_boxes = crop_boxes(absolute, sizes=(200, 40), num_crops=(2, 1))
    assert gc_boxes.shape == (2, 3, 4)
    assert all_boxes.shape == (3, 2, 4)
    np.testing.assert_allclose(gc_boxes[0], [[0, 0, 200, 200], [100, 0, 200, 200], [120, 80, 160, 120]])
    np.testing.assert_allclose(gc_boxes[1], [[0, 0, 200, 200], [0, 0, 200, 200], [40, 80, 120, 120]])
    np.testing.assert_allclose(all_boxes[2], [[0, 0, 40, 40], [0, 0, 40, 40]])
    np.testing.assert_allclose(all_boxes[0, 1], [100, 0, 200, 200])


def test_flipped_crops_have_mirrored_boxes():
    absolute = np.array([[0, 0, 100, 100], [50, 0, 100, 100], [60, 40, 80, 60]])
    plain = crop_boxes(absolute, (200, 40), (2, 1))
    flipped = crop_boxes(absolute, (200, 40), (2, 1), np.array([False, True, True]))
    np.testing.assert_allclose(flipped[0][0], plain[0][0])  # crop 0 is not flipped, whoever it is paired with
    np.testing.assert_allclose(flipped[0][1, 2], [200 - 120, 80, 200 - 40, 120])
    np.testing.assert_allclose(flipped[1][2, 0], [0, 0, 40, 40])


def test_three_kinds_of_crops():
    absolute = np.array([[0, 0, 100, 100]] * 3 + [[0, 0, 50, 50], [10, 10, 20, 20]])
    gc_boxes, all_boxes = crop_boxes(absolute, (100, 40, 10), (3, 1, 1))
    assert gc_boxes.shape == (3, 5, 4)
    np.testing.assert_allclose(gc_boxes[:, 4], [[10, 10, 20, 20]] * 3)
    np.testing.assert_allclose(all_boxes[3], [[0, 0, 40, 40]] * 3)


def test_crops_that_do_not_overlap_are_refused():
    absolute = np.array([[0, 0, 10, 10], [5, 5, 10, 10], [10, 0, 20, 10]])
    with pytest.raises(ValueError, match='do not overlap'):
        crop_boxes(absolute, (32, 16), (2, 1))
    with pytest.raises(ValueError, match='absolute must be'):
        crop_boxes(absolute, (32, 16), (2, 2))


def test_boxes_of_neco():
    with np.load(OWN_GOLDEN_ROOT / 'neco' / 'crop_boxes.npz') as arrays:
        for case in sorted({key.rsplit('_', 1)[0] for key in arrays if key.endswith('_abs')}):
            sizes = [int(arrays[f'{case}_size_{kind}']) for kind in ('global', 'local')]
            T, V = arrays[f'{case}_gc'].shape[1:3]
            for i, absolute in enumerate(arrays[f'{case}_abs']):
                gc_boxes, all_boxes = crop_boxes(absolute, sizes, (T, V - T))
                np.testing.assert_allclose(gc_boxes, arrays[f'{case}_gc'][i], rtol=0, atol=2e-4)
                np.testing.assert_allclose(all_boxes, arrays[f'{case}_all'][i], rtol=0, atol=2e-4)


@pytest.mark.parametrize(('size', 'scale'), [((375, 500), (0.05, 0.25)), ((200, 80), (0.25, 1.0))])
def test_crops_are_distributed_as_torchvisions(size, scale):
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    image, draws = torch.empty(3, *size), 4000
    ours = np.array([sample_crop(*size, scale, rng) for _ in range(draws)], dtype=float)
    rows = [RandomResizedCrop.get_params(image, list(scale), [3 / 4, 4 / 3]) for _ in range(draws)]
    theirs = np.array([(x, y, x + w, y + h) for y, x, h, w in rows], dtype=float)
    for a, b in ((ours, theirs), (ours**2, theirs**2), (np.log(widths(ours)), np.log(widths(theirs)))):
        error = np.sqrt((a.var(0) + b.var(0)) / draws)
        assert (np.abs(a.mean(0) - b.mean(0)) < 4 * error + 1e-9).all()


def widths(boxes):
    return np.stack([boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]], axis=1)


@pytest.mark.parametrize(('height', 'width', 'box'), [
    (100, 1000, (433, 0, 566, 100)),  # too wide: the centred crop of ratio 4/3
    (1000, 100, (0, 433, 100, 566)),  # too high: ratio 3/4
    (1, 1000, (499, 0, 500, 1)),
    (1, 1, (0, 0, 1, 1)),
])
def test_fall_back_of_a_single_crop_is_torchvisions(height, width, box):
    scale = (1.0, 1.0)
    assert sample_crop(height, width, scale, np.random.default_rng(0), tries=0) == box
    if (height, width) != (1, 1):
        y, x, h, w = RandomResizedCrop.get_params(torch.empty(1, height, width), list(scale), [3 / 4, 4 / 3])
        assert box == (x, y, x + w, y + h)


def test_overlaps_are_larger_than_asked():
    rng = np.random.default_rng(0)
    height, width, least = 375, 500, math.floor(0.05 * 375 * 500)
    for _ in range(50):
        boxes, moved = sample_crops(height, width, NUM_CROPS, SCALES, rng, min_overlap=0.05)
        assert not moved.any()
        assert box_area(intersect(boxes[0], boxes[1])) > 2 * least
        assert all(box_area(intersect(boxes[t], boxes[v])) > least for t in range(2) for v in range(2, 6))


@pytest.mark.parametrize(('height', 'width'), [(1, 1000), (1000, 1), (10, 10), (1, 1), (2, 2), (3, 500)])
@pytest.mark.parametrize('min_overlap', [0.01, 0.9])
@pytest.mark.parametrize('num_crops', [(2, 4), (3, 2)])
def test_extreme_images_end_and_all_pairs_overlap(height, width, min_overlap, num_crops):
    rng = np.random.default_rng(0)
    for _ in range(5):
        boxes, _ = sample_crops(height, width, num_crops, SCALES, rng, min_overlap=min_overlap, max_tries=5)
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2] <= width).all()
        assert (boxes[:, 3] <= height).all()
        gc_boxes, _ = crop_boxes(boxes, (32, 16), num_crops)  # raises if a pair does not overlap
        assert (gc_boxes[..., 2:] > gc_boxes[..., :2]).all()


def test_fall_back_is_told_and_keeps_the_size():
    rng = np.random.default_rng(0)
    boxes, moved = sample_crops(100, 100, (2, 4), SCALES, rng, min_overlap=0.9, max_tries=3)
    assert moved.tolist() == [False, True, True, True, True, True]  # nobody can overlap by 90 % of the image
    shared = intersect(boxes[0], boxes[1])
    for box in boxes[2:]:
        wide = min(box[2] - box[0], shared[2] - shared[0]), min(box[3] - box[1], shared[3] - shared[1])
        overlap = intersect(box, shared)
        assert (overlap[2] - overlap[0], overlap[3] - overlap[1]) == wide


def test_local_crops_lie_in_their_global_crop():
    """By 90 % where a draw or a move can bring it there; without the option the draws are those of before."""
    rng, plain, shares = np.random.default_rng(0), [], []
    for _ in range(50):
        boxes, moved = sample_crops(375, 500, NUM_CROPS, SCALES, rng, min_containment=0.9)
        shares += [contained_share(boxes[2 + i], boxes[i % 2]) for i in range(4)]
        plain.append(min(contained_share(boxes[2 + i], boxes[1 - i % 2]) for i in range(4)))
        assert not moved.any()
    assert min(shares) >= 0.9
    assert min(shares) < 1
    assert min(plain) < 0.5  # the other global crop has no such claim
    for seed in range(5):
        same = [sample_crops(375, 500, NUM_CROPS, SCALES, np.random.default_rng(seed), **options)[0]
                for options in ({}, dict(min_containment=0.))]
        assert (same[0] == same[1]).all()


def test_what_cannot_be_drawn_is_moved_into_the_global_crop():
    scales = ((0.2, 0.2), (0.15, 0.15))
    for seed in range(20):
        boxes, moved = sample_crops(100, 140, (2, 4), scales, np.random.default_rng(seed), max_tries=1,
                                    min_containment=1.)
        crop_boxes(boxes, (32, 16), (2, 4))  # raises if a pair does not overlap
        for index in np.flatnonzero(moved[2:]):
            local, parent = boxes[2 + index], boxes[index % 2]
            sides = [min(1., (parent[k + 2] - parent[k]) / (local[k + 2] - local[k])) for k in (0, 1)]
            assert sides[0] < 1 or (local[0] >= parent[0] and local[2] <= parent[2])
            assert sides[1] < 1 or (local[1] >= parent[1] and local[3] <= parent[3])
    assert move_into((0, 0, 10, 2), (3, 5, 9, 9)) == (0, 5, 10, 7)  # too wide: moved along y alone


def test_centring_stays_in_the_image():
    assert centre_on((0, 0, 10, 10), (90, 40, 100, 60), 50, 100) == (90, 40, 100, 50)
