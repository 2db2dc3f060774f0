"""Sheets of crops in groups."""

import numpy as np
import pytest

from leopart_mm.visualization.crop_sheet import NAME_WIDTH, crop_sheet
from leopart_mm.visualization.panels import GAP


def test_lines_hold_their_crops_behind_the_name_and_wide_ones_are_cut():
    red, wide = np.full((10, 10, 3), (255, 0, 0), np.uint8), np.full((4, 99, 3), (0, 0, 255), np.uint8)
    sheet = crop_sheet({'0 ä': [red, wide], '1': []}, side=20)
    assert sheet.shape == (20 + GAP + 20, NAME_WIDTH + GAP + 20 + GAP + 40, 3)
    first, second = sheet[:20, NAME_WIDTH + GAP:], sheet[20 + GAP:]
    assert (first[:, :20] == (255, 0, 0)).all()
    assert (first[:, 20 + GAP:] == (0, 0, 255)).all()
    assert (sheet[:20, :NAME_WIDTH] < 100).any()  # its name
    assert (second[:, NAME_WIDTH:] == 255).all()
    with pytest.raises(ValueError, match='at least one row'):
        crop_sheet({})
