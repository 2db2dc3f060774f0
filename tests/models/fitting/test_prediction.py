import pytest
import torch

from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.models.fitting.prediction import Prediction

WHOLE = Extent(0, 2, 0, 3)


def test_scores_become_labels_where_labels_are_asked_for():
    scores = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]).T.view(1, 1, 2, 1, 3)
    prediction = Prediction(None, [Extent(0, 1, 0, 3)], 2, scores)
    assert (len(prediction), prediction.num_maps, prediction.grid) == (1, 1, (1, 3))
    assert prediction.hard_labels.tolist() == [[[[1, 0, 1]]]]


def test_images_are_selected_in_every_field():
    prediction = Prediction(torch.arange(24).view(1, 4, 2, 3), [WHOLE, Extent(0, 1, 0, 3), WHOLE, WHOLE], 24)
    part = prediction.select([1, 3])
    assert part.labels[0, :, 0, 0].tolist() == [6, 18]
    assert part.extents == [Extent(0, 1, 0, 3), WHOLE]
    assert prediction.select(slice(2)).labels[0, :, 0, 0].tolist() == [0, 6]
    assert [members for members, _ in prediction.content_groups()] == [[0, 2, 3], [1]]


def test_labels_reach_pixels_without_padding():
    """Three cells of two pixels each; the first is padding, the last holds a single pixel of the image."""
    labels = torch.tensor([[[[7, 1, 2]]], [[[7, 3, 4]]]])
    pixels = Prediction(labels, [Extent(0, 1, 1, 2.5)], 8).to_pixels(0, (1, 3))
    assert pixels.labels.tolist() == [[[[1, 1, 2]]], [[[3, 3, 4]]]]
    assert pixels.extents == [Extent(0, 1, 0, 3)]


def test_scores_reach_pixels_before_they_become_labels():
    """Between cells of (1, 0) and (0.4, 0.6) the second label starts where the interpolated scores cross."""
    scores = torch.tensor([[1., 0.4], [0., 0.6]]).view(1, 1, 2, 1, 2)
    pixels = Prediction(None, [Extent(0, 1, 0, 2)], 2, scores).to_pixels(0, (1, 20))
    position = (torch.arange(20) + 0.5) / 10  # in cells; centres of the cells at 0.5 and 1.5
    weight = (position - 0.5).clamp(0, 1)
    torch.testing.assert_close(pixels.scores[0, 0, 0, 0], 1 - 0.6 * weight)
    assert pixels.hard_labels[0, 0, 0].tolist() == (0.6 * weight > 1 - 0.6 * weight).long().tolist()


@pytest.mark.parametrize(('arguments', 'message'), [
    ((None, [WHOLE], 2), 'labels or scores'),
    ((torch.zeros(1, 2, 3), [WHOLE], 2), r'\(S, B, h, w\)'),
    ((None, [WHOLE], 2, torch.zeros(1, 1, 3, 2, 3)), r'\(S, B, 2, h, w\)'),
    ((torch.zeros(1, 2, 2, 3), [WHOLE], 2), 'Prediction of 2 images'),
])
def test_shapes_that_do_not_agree_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Prediction(*arguments)
