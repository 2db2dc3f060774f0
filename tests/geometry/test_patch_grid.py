import pytest
import torch
import torch.nn.functional as F

from leopart_mm.geometry.patch_grid import (
    Extent,
    cell_indices,
    content_of,
    image_extent,
    scale_extent,
    upsample_labels,
    upsample_scores,
)


@pytest.mark.parametrize(('rule', 'mode'), [('corner', 'nearest'), ('centre', 'nearest-exact')])
@pytest.mark.parametrize('size', [(100, 100), (28, 28), (13, 57), (375, 500)])
def test_equals_interpolation_of_torch(rule, mode, size):
    labels = torch.arange(28 * 28).view(28, 28)
    reference = F.interpolate(labels[None, None].double(), size, mode=mode)[0, 0].long()
    assert torch.equal(upsample_labels(labels, size, rule=rule), reference)


def test_extent_keeps_cells_at_their_pixels():
    # 10 pixels in patches of 4: the third cell holds 2 pixels of the image
    labels = torch.tensor([[0, 1, 2]])
    assert upsample_labels(labels, (1, 10), (0, 1, 0, 2.5)).tolist() == [[0, 0, 0, 0, 1, 1, 1, 1, 2, 2]]
    assert cell_indices((1, 3), (1, 5), (0, 1, 0, 2.5)).tolist() == [[0, 0, 1, 1, 2]]


def test_unknown_rule():
    with pytest.raises(ValueError, match='centre, corner'):
        upsample_labels(torch.zeros(1, 1), (2, 2), rule='linear')


def test_whole_grid_is_interpolate():
    scores = torch.rand(3, 4, 5)
    expected = F.interpolate(scores[None], (9, 13), mode='bilinear', align_corners=False)[0]
    assert torch.equal(upsample_scores(scores, (9, 13)), expected)
    assert torch.equal(upsample_scores(scores, (9, 13), (0, 4, 0, 5)), expected)


@pytest.mark.parametrize('size', [(28, 36), (7, 9)])
def test_part_of_the_grid_is_a_cut_of_the_whole(size):
    """An image of 28 x 36 pixels in patches of 8: the grid of 4 x 5 cells covers 32 x 40."""
    scores = torch.rand(3, 4, 5)
    part = upsample_scores(scores, size, (0, 3.5, 0, 4.5))
    step = 28 // size[0]
    whole = F.interpolate(scores[None], (32 // step, 40 // step), mode='bilinear', align_corners=False)[0]
    torch.testing.assert_close(part, whole[:, :size[0], :size[1]])


@pytest.mark.parametrize(('patch_size', 'grid', 'extent'), [
    (16, (7, 13), (0, 6.25, 0, 12.5)),  # the last patches are padded
    (16, (6, 12), (0, 6.25, 0, 12.5)),  # or dropped
    (None, (7, 13), (0, 7, 0, 13)),  # or the image is resized to the grid
])
def test_extent_of_an_image_that_patches_do_not_divide(patch_size, grid, extent):
    assert image_extent((100, 200), grid, patch_size=patch_size) == pytest.approx(extent)


def test_extent_inside_a_padded_input():
    assert image_extent((64, 96), (4, 6), (0, 32, 16, 0), 16) == (1, 4, 0, 4)
    assert image_extent((64, 96), (2, 3), (0, 32, 16, 0)) == (.5, 2, 0, 2)


def test_content_is_every_cell_with_a_pixel_of_the_image():
    extent = Extent(1, 3.25, 0, 4)
    assert content_of(extent, (4, 6)) == (slice(1, 4), slice(0, 4), (0, 2.25, 0, 4))
    finer = scale_extent(extent, (4, 6), (8, 12))
    assert finer == (2, 6.5, 0, 8)
    assert content_of(finer, (8, 12)) == (slice(2, 7), slice(0, 8), (0, 4.5, 0, 8))
