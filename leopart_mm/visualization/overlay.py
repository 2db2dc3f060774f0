"""Painting label maps over images."""

import cv2
import numpy as np

from leopart_mm.palette import colour_labels

DARKNESS = 0.3  # of the background, as a share of its brightness
ROWS_AT_ONCE = 256


def fit_shape(shape: tuple[int, int], max_side: int) -> tuple[int, int]:
    """(height, width) shrunk so that no side is longer than `max_side`, never enlarged.

    >>> fit_shape((10, 20), 10), fit_shape((3, 4), 10)
    ((5, 10), (3, 4))
    """
    factor = min(max_side / max(shape), 1)
    return max(round(shape[0] * factor), 1), max(round(shape[1] * factor), 1)


def fit_side(array: np.ndarray, max_side: int, labels: bool = False) -> np.ndarray:
    """Shrink (H, W[, C]) so that no side is longer than `max_side`; nearest for label maps. Never enlarges."""
    return resize(array, fit_shape(array.shape[:2], max_side), labels)


def resize(array: np.ndarray, shape: tuple[int, int], labels: bool = False) -> np.ndarray:
    """Resize (H, W[, C]) to `shape` (height, width). Label maps of any integer type keep their values."""
    if tuple(array.shape[:2]) == tuple(shape):
        return array
    if not labels:
        shrinks = shape[0] * shape[1] < array.shape[0] * array.shape[1]
        return cv2.resize(array, shape[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    rows = ((np.arange(shape[0]) + 0.5) * array.shape[0] / shape[0]).astype(int)
    columns = ((np.arange(shape[1]) + 0.5) * array.shape[1] / shape[1]).astype(int)
    return array[rows[:, None], columns[None]]


def overlay(image: np.ndarray, labels: np.ndarray, palette: np.ndarray, alpha: float = 0.6,
            ignore: int | None = 255, borders: bool = True) -> np.ndarray:
    """Paint a label map over an image.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (h, w) integers >= 0; resized to the image (nearest).
        palette: (K, 3) RGB.
        alpha: Share of the label's colour, 0..1.
        ignore: Label that leaves the image visible. None: there is none.
        borders: Draw a dark line where two labels meet.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    labels = resize(np.asarray(labels), image.shape[:2], labels=True)
    lines = label_borders(labels) if borders else None
    result = np.empty(image.shape, np.uint8)
    for top in range(0, len(image), ROWS_AT_ONCE):  # in floating point a large picture would take half a gigabyte
        rows = slice(top, top + ROWS_AT_ONCE)
        painted = image[rows] * (1 - alpha) + colour_labels(labels[rows], palette, ignore) * alpha
        if ignore is not None:
            unpainted = labels[rows] == ignore
            painted[unpainted] = image[rows][unpainted]
        if lines is not None:
            painted[lines[rows]] *= 0.35
        result[rows] = np.clip(np.rint(painted), 0, 255)
    return result


def darken(image: np.ndarray) -> np.ndarray:
    """The image (H, W, 3) uint8 RGB as pictures show what is background."""
    return np.rint(np.arange(256) * DARKNESS).astype(np.uint8)[image]  # a table: no picture in floating point


def label_borders(labels: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels whose right or lower neighbour has another label."""
    border = np.zeros(labels.shape, bool)
    border[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    border[:-1] |= labels[:-1] != labels[1:]
    return border
