"""Small components on a GPU: the same cells as scipy finds."""

import pytest
import torch

from leopart_mm.masks.attention import attention_foreground, drop_small_components, in_large_component
from tests.no_sync import fake_cuda


@pytest.mark.parametrize('size', [2, 3, 4, 5])
@pytest.mark.parametrize('share', [0.1, 0.25, 0.5])
def test_windows_find_what_scipy_labels(size, share):
    cells = torch.rand(40, 1, 7, 9, generator=torch.Generator().manual_seed(0)) < share
    expected = drop_small_components(cells.float(), size) > 0
    assert torch.equal(in_large_component(cells, size) & cells, expected)
    assert 0 < expected.sum() < cells.sum() or share == 0.5


def test_a_path_around_corners_is_followed():
    cells = torch.tensor([[1, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 1]], dtype=torch.bool)[None, None]
    assert torch.equal(in_large_component(cells, 5), cells)


def test_the_foreground_of_attention_never_waits():
    attention = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    expected = attention_foreground(attention)
    with fake_cuda() as cuda:
        with cuda.strict():
            ours = attention_foreground(cuda(attention))
        assert torch.equal(ours.cpu(), expected)
        attention_foreground(cuda(attention), min_component=6)
        assert 'cpu' in cuda.trips  # larger ones are labelled on the host
