import math

import pytest
import torch
import torch.nn.functional as F

from leopart_mm.retrieval.mixing import mix_labels, upsample_scores


def test_mixture_by_hand():
    similarities = torch.tensor([[0.5, 0.5 - 0.02 * math.log(3)]])
    labels = torch.tensor([[[1., 0], [0, 1]]])
    torch.testing.assert_close(mix_labels(similarities, labels), torch.tensor([[0.75, 0.25]]))
    assert mix_labels(torch.tensor([[0.9, -torch.inf]]), labels).tolist() == [[1, 0]]


def test_whole_grid_is_interpolate():
    scores = torch.rand(3, 4, 5)
    wanted = F.interpolate(scores[None], (9, 13), mode='bilinear', align_corners=False)[0]
    assert torch.equal(upsample_scores(scores, (9, 13)), wanted)
    assert torch.equal(upsample_scores(scores, (9, 13), (0, 4, 0, 5)), wanted)


@pytest.mark.parametrize('size', [(28, 36), (7, 9)])
def test_part_of_the_grid_is_a_cut_of_the_whole(size):
    """An image of 28 x 36 pixels in patches of 8: the grid of 4 x 5 cells covers 32 x 40."""
    scores = torch.rand(3, 4, 5)
    part = upsample_scores(scores, size, (0, 3.5, 0, 4.5))
    step = 28 // size[0]
    whole = F.interpolate(scores[None], (32 // step, 40 // step), mode='bilinear', align_corners=False)[0]
    torch.testing.assert_close(part, whole[:, :size[0], :size[1]])
