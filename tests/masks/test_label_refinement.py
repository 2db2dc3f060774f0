"""Outlines drawn to the edges of an image whose edge is known."""

import pytest
import torch

from leopart_mm.masks.label_refinement import refine_labels


def scene():
    """Left half black, right half white; the labels' border lies 3 pixels off."""
    image = torch.zeros(24, 32, 3, dtype=torch.uint8)
    image[:, 16:] = 255
    labels = torch.full((24, 32), 7)
    labels[:, 19:] = 300
    return image, labels


def test_the_border_moves_to_the_edge():
    image, labels = scene()
    refined = refine_labels(labels, image)
    expected = torch.where(image[..., 0] > 0, 300, 7)
    assert torch.equal(refined, expected)
    assert refined.dtype == labels.dtype


def test_pixels_without_data_stay_and_do_not_count():
    image, labels = scene()
    missing = torch.zeros(24, 32, dtype=torch.bool)
    missing[:4] = True
    labels[missing] = 0
    refined = refine_labels(labels, image, missing=missing)
    assert (refined[missing] == 0).all()
    assert torch.equal(refined[4:], torch.where(image[4:, :, 0] > 0, 300, 7))


def test_one_label_stays_and_misfits_are_refused():
    image, labels = scene()
    assert torch.equal(refine_labels(torch.full_like(labels, 5), image), torch.full_like(labels, 5))
    with pytest.raises(ValueError, match='does not belong to an image'):
        refine_labels(labels[1:], image)
    with pytest.raises(ValueError, match='confidence=1 is a probability'):
        refine_labels(labels, image, confidence=1)
