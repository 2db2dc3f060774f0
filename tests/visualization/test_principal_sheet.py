"""The picture of the steps of principal masks."""

import numpy as np
import torch

from leopart_mm.masks.principal import principal_masks
from leopart_mm.masks.principal_cleaning import clean_masks
from leopart_mm.visualization.panels import GAP, TITLE_HEIGHT
from leopart_mm.visualization.principal_sheet import principal_sheet

SIDE = 80
IMAGE = np.full((SIDE, SIDE, 3), 200, np.uint8)
STEP = SIDE + TITLE_HEIGHT + GAP


def picture(sheet, row, column):
    top, left = row * STEP + TITLE_HEIGHT, column * (SIDE + GAP)
    return sheet[top:top + SIDE, left:left + SIDE]


def test_every_mask_has_a_row_of_its_steps():
    cells = torch.randn(2, 30, generator=torch.Generator().manual_seed(0))
    features = cells[(torch.arange(8) >= 4).long()].T[None, :, None].expand(-1, -1, 8, -1)  # left and right half
    masks = principal_masks(features)[0]
    labels = np.where(np.arange(SIDE) < SIDE // 2, *((1, 2) if masks.soft_masks[0, 0, 0] > 0 else (2, 1)))
    labels = np.broadcast_to(labels, (SIDE, SIDE)).astype(np.uint8)
    sheet = principal_sheet(IMAGE, masks, clean_masks(masks.soft_masks).numpy(), labels)
    assert sheet.shape == (3 * STEP - GAP, 4 * (SIDE + GAP) - GAP, 3)
    assert (picture(sheet, 0, 0) == 200).all()
    for row in (1, 2):
        for column in (2, 3):  # the mask is bright, the rest dark
            assert (picture(sheet, row, column) == np.where(labels == row, 200, 40)[..., None]).all()
    removed = picture(sheet, 2, 0)[labels == 1]
    assert (removed == 128).all(1).mean() > 0.98  # the ring of the anchor reaches into them
    capped = principal_sheet(IMAGE, masks, clean_masks(masks.soft_masks).numpy(), labels, max_masks=1)
    assert np.array_equal(capped, sheet[:2 * STEP - GAP])


def test_an_image_without_a_mask_has_the_first_row():
    masks = principal_masks(torch.zeros(1, 3, 4, 4))[0]
    sheet = principal_sheet(IMAGE, masks, masks.soft_masks.numpy(), np.full((SIDE, SIDE), 255, np.uint8))
    assert sheet.shape[0] == STEP - GAP
    assert (picture(sheet, 0, 1) == 200).all()
