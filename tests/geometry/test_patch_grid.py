import pytest
import torch
import torch.nn.functional as F

from leopart_mm.geometry.patch_grid import cell_indices, upsample_labels


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
