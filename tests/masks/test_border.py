"""Masks of what is unlike the border of the image."""

import pytest
import torch

from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.masks import BorderContrastMasks, MaskInputs, border_contrast

GRID = (6, 8)


def inputs(features):
    return MaskInputs(['a'] * len(features), GRID, [Extent(0, 6, 0, 8)] * len(features), features=features)


def scene():
    """One channel per kind: grass everywhere, an object of 3 x 3 cells inside, a fence along the bottom."""
    features = torch.zeros(1, 3, *GRID)
    features[:, 0] = 1
    features[:, :, 5] = torch.tensor([0., 0, 1])[:, None]
    features[:, :, 1:4, 2:5] = torch.tensor([0., 1, 0])[:, None, None]
    return features


def test_contrast_is_one_minus_the_mean_of_the_most_similar_border_cells():
    features = scene()
    contrast = border_contrast(features, share=4 / 24)  # of the 24 cells of the border 8 are fence, 16 are grass
    assert contrast.shape == (1, *GRID)
    expected = torch.zeros(GRID)
    expected[1:4, 2:5] = 1
    torch.testing.assert_close(contrast[0], expected)
    half = border_contrast(features, share=0.5)  # 12: the fence finds 8 of its kind
    torch.testing.assert_close(half[0, 5], torch.full((8, ), 1 / 3))
    torch.testing.assert_close(half[0, 4], torch.zeros(8))
    torch.testing.assert_close(border_contrast(5 * features, 0.5), half)


def test_the_object_is_marked_and_the_fence_is_not():
    mask = BorderContrastMasks()(inputs(scene()))[0]
    assert mask.sum() == 9
    assert mask[1:4, 2:5].all()


def test_small_components_are_dropped():
    features = scene()
    features[0, :, 3, 6] = torch.tensor([0., 1, 0])
    assert BorderContrastMasks()(inputs(features)).sum() == 9
    assert BorderContrastMasks(min_component=1)(inputs(features)).sum() == 10


def test_an_even_image_has_no_foreground():
    assert BorderContrastMasks()(inputs(torch.ones(2, 3, *GRID))).sum() == 0


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match=r'share=0 must lie in \(0, 1\]'):
        BorderContrastMasks(share=0)
    with pytest.raises(ValueError, match='holds no features'):
        BorderContrastMasks()(MaskInputs(['a'], GRID, [Extent(0, 6, 0, 8)]))
