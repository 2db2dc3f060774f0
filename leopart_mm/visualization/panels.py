"""Arranging pictures: rows, rows below each other, the example patch of a cluster."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from leopart_mm.visualization.overlay import resize

GAP = 4
TITLE_HEIGHT = 18


def row(pictures: Mapping[str, np.ndarray], titles: bool = True) -> np.ndarray:
    """Put titled pictures (H, W, 3) side by side on white; all are resized to the first one's height."""
    if not pictures:
        raise ValueError('A row needs at least one picture.')
    height = next(iter(pictures.values())).shape[0]
    columns = []
    for title, picture in pictures.items():
        width = max(round(picture.shape[1] * height / picture.shape[0]), 1)
        picture = resize(picture, (height, width))
        if titles:
            picture = np.concatenate([_title(title, picture.shape[1]), picture])
        columns += [picture, np.full((picture.shape[0], GAP, 3), 255, np.uint8)]
    return np.concatenate(columns[:-1], axis=1)


def stack(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Put pictures (H_i, W_i, 3) below each other on white, left-aligned."""
    if not rows:
        raise ValueError('A sheet needs at least one row.')
    width = max(picture.shape[1] for picture in rows)
    padded = [np.pad(picture, ((0, GAP), (0, width - picture.shape[1]), (0, 0)), constant_values=255)
              for picture in rows]
    return np.concatenate(padded)[:-GAP]


def example_patch(image: np.ndarray, labels: np.ndarray, cluster: int, side: int) -> np.ndarray:
    """The window of the image in which the cluster covers most, as (side, side, 3) uint8 RGB.

    Pixels of other clusters are dimmed.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (h, w) integers.
        cluster: The label.
        side: Side of the result in pixels.
    """
    mask = resize((labels == cluster).astype(np.uint8), image.shape[:2], labels=True).astype(np.float32)
    window = max(min(image.shape[:2]) // 3, 8)
    density = cv2.boxFilter(mask, -1, (window, window), borderType=cv2.BORDER_CONSTANT)
    y, x = np.unravel_index(int(density.argmax()), density.shape)
    top = int(np.clip(y - window // 2, 0, max(image.shape[0] - window, 0)))
    left = int(np.clip(x - window // 2, 0, max(image.shape[1] - window, 0)))
    place = np.s_[top:top + window, left:left + window]
    dimmed = image[place] * (0.35 + 0.65 * mask[place][..., None])
    return resize(np.rint(dimmed).astype(np.uint8), (side, side))


def _title(text: str, width: int) -> np.ndarray:
    strip = np.full((TITLE_HEIGHT, width, 3), 255, np.uint8)
    write_text(strip, text, (2, TITLE_HEIGHT - 5))
    return strip


def write_text(picture: np.ndarray, text: str, place: tuple[int, int]) -> None:
    """Write ASCII text into a picture, in place; `place` (x, y) is the lower left corner."""
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (20, 20, 20), 1, cv2.LINE_AA)


