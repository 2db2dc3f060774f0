import math

import pytest
import torch
from timm.layers import resample_abs_pos_embed

from leopart_mm.models.backbones.position import resize_positions

POSITIONS = torch.randn(1, 4 * 6, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('mode', ['dino', 'timm'])
def test_equal_grid_is_untouched(mode):
    assert resize_positions(POSITIONS, (4, 6), (4, 6), mode) is POSITIONS


@pytest.mark.parametrize('mode', ['dino', 'timm'])
@pytest.mark.parametrize('grid', [(6, 4), (2, 12), (7, 3), (1, 1), (4, 7)])
def test_any_grid_from_a_non_square_one(mode, grid):
    resized = resize_positions(POSITIONS, (4, 6), grid, mode)
    assert resized.shape == (1, grid[0] * grid[1], 3)


def test_constant_positions_stay_constant():
    ones = torch.ones(1, 16, 2)
    for mode in ('dino', 'timm'):
        torch.testing.assert_close(resize_positions(ones, (4, 4), (7, 5), mode), torch.ones(1, 35, 2))


def test_timm_mode_is_timms():
    ours = resize_positions(POSITIONS, (4, 6), (9, 3), 'timm')
    theirs = resample_abs_pos_embed(POSITIONS, (9, 3), (4, 6), num_prefix_tokens=0)
    torch.testing.assert_close(ours, theirs)


def test_dino_mode_samples_with_the_offset():
    """One row of positions, sampled by hand with the cubic kernel (a = -0.75) at the points of the shifted scale."""
    stored, wanted = 6, 9
    values = POSITIONS[0, :stored, 0].double()
    scale = stored / (wanted + 0.1)

    def kernel(x):
        x, a = abs(x), -0.75
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.

    expected = []
    for i in range(wanted):
        point = scale * (i + 0.5) - 0.5
        left = math.floor(point)
        expected.append(sum(kernel(point - j) * values[min(max(j, 0), stored - 1)] for j in range(left - 1, left + 3)))
    ours = resize_positions(POSITIONS[:, :stored, :1], (1, stored), (1, wanted))
    torch.testing.assert_close(ours[0, :, 0].double(), torch.stack(expected), atol=1e-5, rtol=0)


def test_half_precision_is_resized_in_float32():
    half = resize_positions(POSITIONS.half(), (4, 6), (5, 5))
    assert half.dtype == torch.float16
    torch.testing.assert_close(half, resize_positions(POSITIONS.half().float(), (4, 6), (5, 5)).half())


def test_unknown_mode_lists_the_allowed_ones():
    with pytest.raises(ValueError, match=r"'dinov2' is unknown.*'dino'.*'timm'"):
        resize_positions(POSITIONS, (4, 6), (5, 5), 'dinov2')
