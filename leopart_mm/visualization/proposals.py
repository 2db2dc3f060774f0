"""Pictures of mask proposals: the image, and the masks painted over it."""

from typing import Any

import cv2
import numpy as np

from leopart_mm.palette import distinct_colours
from leopart_mm.visualization.overlay import overlay, resize
from leopart_mm.visualization.panels import row


def proposals_picture(image: np.ndarray, proposals: Any, alpha: float = 0.55) -> np.ndarray:
    """The image beside its masks, each in a colour of its own; where masks overlap, all outlines are drawn.

    Args:
        image: (H, W, 3) uint8 RGB.
        proposals: Masks of the image, see `leopart_mm.masks.Proposals`; of any size.
        alpha: Share of a mask's colour, 0..1.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    masks = list(proposals.masks())
    ignore = len(masks)
    labels = np.full(proposals.size, ignore, np.int64)
    for number in reversed(range(len(masks))):
        labels[masks[number]] = number
    colours = distinct_colours(max(len(masks), 1))
    painted = overlay(image, labels, colours, alpha, ignore)
    if len(masks) > 1 and sum(map(np.count_nonzero, masks)) > np.count_nonzero(labels != ignore):
        painted = np.ascontiguousarray(painted)
        for colour, mask in zip(colours.tolist(), masks, strict=True):
            shown = resize(mask.astype(np.uint8), image.shape[:2], labels=True)
            contours, _ = cv2.findContours(shown, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(painted, contours, -1, colour, 1)
    title = f'{len(masks)} mask{"" if len(masks) == 1 else "s"}'
    return row({'image': image, title: painted})
