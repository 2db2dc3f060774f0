"""Arranging pictures: rows, rows below each other, the example patch of a cluster."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from leopart_mm.visualization.fonts import parts_by_font
from leopart_mm.visualization.overlay import fit_shape, label_borders, resize

FONT_SIZE = 12
WINDOW_SEARCH = 200  # longest side in pixels of the mask in which a window is looked for
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
    """The place in the image where the cluster is at its largest, (side, side, 3) uint8 RGB.

    The window is as large as the largest connected part of the cluster, with some surroundings. Pixels of other
    clusters are grey, and a white line goes round the cluster.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (h, w) integers.
        cluster: The label.
        side: Side of the result in pixels.
    """
    mask = resize((labels == cluster).astype(np.uint8), image.shape[:2], labels=True)
    top, left, window = _window(mask)
    place = np.s_[top:top + window, left:left + window]
    shape = (side, side)
    # cubic: enlarged pixels of a small part stay a picture
    patch = cv2.resize(image[place], shape, interpolation=cv2.INTER_AREA if window > side else cv2.INTER_CUBIC)
    inside = resize(mask[place], shape, labels=True)
    grey = patch.mean(axis=2, keepdims=True)
    patch = np.rint(np.where(inside[..., None] > 0, patch, 0.5 * grey + 0.15 * patch + 32)).astype(np.uint8)
    patch[label_borders(inside)] = 255
    return patch


def _window(mask: np.ndarray) -> tuple[int, int, int]:
    """(top, left, side) of a square in a mask (H, W) uint8, around its largest connected part."""
    shortest = min(mask.shape)
    shape = fit_shape(mask.shape, WINDOW_SEARCH)
    scales = np.array(mask.shape) / shape
    small = mask if shape == mask.shape else (cv2.resize(255 * mask, shape[::-1], interpolation=cv2.INTER_AREA) > 0)
    small = small.astype(np.uint8)
    _, parts, boxes, _ = cv2.connectedComponentsWithStats(small, connectivity=8)
    largest = 1 + int(boxes[1:, cv2.CC_STAT_AREA].argmax())
    x, y, width, height = (int(value) for value in np.round(boxes[largest, :4] * [*scales[::-1], *scales[::-1]]))
    window = int(np.clip(1.5 * max(width, height), max(shortest // 5, min(shortest, 8)), shortest))
    if max(width, height) <= window:
        centre = y + height // 2, x + width // 2
    else:  # where it is densest
        size = tuple(max(round(window / scale), 1) for scale in scales[::-1])
        part = cv2.boxFilter((parts == largest).astype(np.float32), -1, size, borderType=cv2.BORDER_CONSTANT)
        centre = np.round(np.unravel_index(int(part.argmax()), part.shape) * scales).astype(int)
    top, left = (int(np.clip(middle - window // 2, 0, length - window))
                 for middle, length in zip(centre, mask.shape, strict=True))
    return top, left, window


def _title(text: str, width: int) -> np.ndarray:
    strip = np.full((TITLE_HEIGHT, width, 3), 255, np.uint8)
    write_text(strip, fitting_text(text, width - 2), (2, TITLE_HEIGHT - 5))
    return strip


def _line(text: str) -> str:
    """The text without line breaks."""
    return ' '.join(text.splitlines())


def text_width(text: str, size: int = FONT_SIZE) -> int:
    """Width of a text in pixels."""
    return int(np.ceil(sum(font.getlength(part) for part, font in parts_by_font(_line(text), size))))


def fitting_text(text: str, width: int, size: int = FONT_SIZE) -> str:
    """The text, cut and with an ellipsis if it is wider than `width` pixels."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + '…', size) > width:
        text = text[:-1]
    return text + '…'


def write_text(picture: np.ndarray, text: str, place: tuple[int, int], size: int = FONT_SIZE,
               colour: tuple[int, int, int] = (20, 20, 20)) -> None:
    """Write a line of text into a picture, in place; `place` (x, y) is the left end of its base line."""
    canvas = Image.fromarray(picture)
    draw, (x, y) = ImageDraw.Draw(canvas), place
    for part, font in parts_by_font(_line(text), size):
        draw.text((x, y), part, fill=colour, font=font, anchor='ls')
        x += font.getlength(part)
    picture[:] = np.asarray(canvas)
