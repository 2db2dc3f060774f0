"""Foreground masks on hand-made attention."""

import pytest
import torch

from leopart_mm.masks import attention_foreground
from leopart_mm.masks.attention import drop_small_components


def test_a_bright_block_is_the_foreground():
    attention = torch.full((1, 1, 10, 10), 0.001)
    attention[..., 3:7, 4:8] = 1.
    mask = attention_foreground(attention, mass=0.6)
    assert set(mask.unique().tolist()) == {0., 1.}
    assert mask[..., 4:6, 5:7].all()
    outside = torch.ones_like(mask)
    outside[..., 3:7, 4:8] = 0
    assert (mask * outside).sum() == 0


def test_small_components_vanish_and_diagonal_ones_hold_together():
    mask = torch.zeros(2, 1, 6, 6)
    mask[0, 0, 0, :2] = 1  # two cells: erased
    mask[0, 0, [2, 3, 4], [2, 3, 4]] = 1  # three cells on a diagonal: kept
    mask[1, 0, 0, 0] = 1  # one cell, at the place of a component of the image before: erased
    kept = drop_small_components(mask, 3)
    assert kept[0, 0].nonzero().tolist() == [[2, 2], [3, 3], [4, 4]]
    assert kept[1].sum() == 0
    assert torch.equal(drop_small_components(mask, 1), mask)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match='average over the heads'):
        attention_foreground(torch.rand(2, 6, 8, 8))
    with pytest.raises(ValueError, match='too small for a blur'):
        attention_foreground(torch.rand(2, 1, 3, 3))
