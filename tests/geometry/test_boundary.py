import numpy as np
import pytest

from leopart_mm.geometry.boundary import boundary_f1, boundary_f1_per_class, contour_points


def square(top, left, side=5, size=20):
    mask = np.zeros((size, size), np.uint8)
    mask[top:top + side, left:left + side] = 1
    return mask


def test_contour_of_a_square():
    assert len(contour_points(square(3, 3))) == 16
    assert {tuple(point) for point in contour_points(square(3, 3, 2))} == {(3, 3), (3, 4), (4, 3), (4, 4)}


def test_shifted_square_by_hand():
    # shifted by one: every contour point has one of the other closer than 2, and is 1 or more from it outside overlaps
    assert boundary_f1(square(3, 3), square(3, 4), 2) == 1
    # strictly closer than 1 means the same point: the 4 + 4 points of the rows that overlap; of 16
    same = {tuple(p) for p in contour_points(square(3, 3))} & {tuple(p) for p in contour_points(square(3, 4))}
    assert boundary_f1(square(3, 3), square(3, 4), 1) == pytest.approx(len(same) / 16)


def test_empty_masks():
    nothing = np.zeros((20, 20), np.uint8)
    assert np.isnan(boundary_f1(nothing, nothing, 2))
    assert boundary_f1(square(3, 3), nothing, 2) == 0
    assert boundary_f1(nothing, square(3, 3), 2) == 0
    assert np.isnan(boundary_f1(square(0, 0), square(14, 14), 2))


def test_per_class():
    gt = square(2, 2) + 2 * square(10, 10)
    result = boundary_f1_per_class(gt, gt, 2, 4)
    np.testing.assert_array_equal(result, [np.nan, 1, 1, np.nan])
    assert boundary_f1_per_class(gt, gt, 2, 4, skip_background=False)[0] == 1
    with pytest.raises(ValueError, match='differ in shape'):
        boundary_f1(gt, gt[1:], 2)
