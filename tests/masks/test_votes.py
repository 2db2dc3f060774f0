"""Majority votes inside masks."""

import pytest
import torch

from leopart_mm.masks.votes import majority_per_mask


def test_votes_are_those_of_a_loop():
    generator = torch.Generator().manual_seed(0)
    classes = torch.randint(0, 5, (3, 9, 8), generator=generator)
    masks = torch.randint(0, 30, (3, 9, 8), generator=generator)  # few pixels each: many ties
    masks[masks > 20] = 255
    expected = torch.full_like(masks, 255)
    for image in range(3):
        for number in masks[image].unique().tolist():
            if number != 255:
                inside = masks[image] == number
                counts = [int((classes[image][inside] == k).sum()) for k in range(5)]
                expected[image][inside] = counts.index(max(counts))
    assert torch.equal(majority_per_mask(classes, masks, 5), expected)
    assert torch.equal(majority_per_mask(classes.byte(), masks.byte(), 7), expected)


def test_pixels_in_no_mask_have_no_vote_whatever_their_class():
    classes = torch.tensor([[[99, 1, -1]]])
    masks = torch.tensor([[[27, 0, 27]]])
    assert majority_per_mask(classes, masks, 2, ignore=27).tolist() == [[[27, 1, 27]]]
    assert majority_per_mask(classes, torch.full_like(masks, 27), 2, ignore=27).eq(27).all()


@pytest.mark.parametrize('wrong', [2, -1])
def test_a_class_that_does_not_exist_is_named(wrong):
    with pytest.raises(ValueError, match=r'must lie in 0\.\.1, but there are'):
        majority_per_mask(torch.tensor([[[0, wrong]]]), torch.ones(1, 1, 2, dtype=torch.long), 2)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r'must both be \(B, H, W\)'):
        majority_per_mask(torch.zeros(1, 2, 2), torch.zeros(1, 2, 3), 2)
