import pytest
import torch

from leopart_mm.geometry.cell_counts import cell_pairs, pixels_per_cell
from leopart_mm.geometry.patch_grid import upsample_labels


@pytest.mark.parametrize('extent', [None, (0.3, 5.8, 0., 6.25)])
def test_weights_are_pixel_counts(extent):
    weights = pixels_per_cell((6, 7), (100, 90), extent)
    cells = upsample_labels(torch.arange(42).view(6, 7), (100, 90), extent, 'corner')
    assert weights.tolist() == torch.bincount(cells.flatten(), minlength=42).tolist()
    assert weights.sum() == 9000


def test_pairs_by_hand():
    here, there, counts = cell_pairs((1, 2), ((0, 1), ), (2, 4))
    assert (here.tolist(), there.tolist(), counts.tolist()) == ([0], [1], [2.])
