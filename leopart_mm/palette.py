"""Fixed colours for any number of clusters."""

from functools import lru_cache

import cv2
import numpy as np


@lru_cache(maxsize=32)
def _distinct_colours(count: int) -> np.ndarray:
    index = np.arange(count)
    hue = (index * 0.618034) % 1.0  # golden angle: neighbours differ, no hue comes twice
    lightness = np.array([0.62, 0.42, 0.80])[index % 3]
    chroma = np.array([0.80, 0.95, 0.55])[(index // 3) % 3]
    hls = np.stack([hue * 360, lightness, chroma], axis=-1).astype(np.float32)
    colours = np.rint(255 * cv2.cvtColor(hls[None], cv2.COLOR_HLS2RGB)[0]).clip(0, 255).astype(np.uint8)
    colours.setflags(write=False)
    return colours


def distinct_colours(count: int) -> np.ndarray:
    """(count, 3) uint8 RGB colours, the same for every call; colour i does not depend on `count`.

    Raises:
        ValueError: If `count` is negative.
    """
    if count < 0:
        raise ValueError(f'The number of colours cannot be {count}.')
    return _distinct_colours(count) if count else np.zeros((0, 3), np.uint8)


def colour_labels(labels: np.ndarray, palette: np.ndarray, ignore: int | None = 255,
                  ignore_colour: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """Label map (H, W) -> (H, W, 3) uint8 by `palette` (K, 3); `ignore` and labels beyond the palette get one colour.

    With ``ignore=None`` every label is a cluster (there may be more than 255 of them).

    Raises:
        ValueError: If a label is negative.
    """
    labels = np.asarray(labels).astype(np.int64)
    if labels.size and labels.min() < 0:
        raise ValueError(f'Labels must not be negative; there is a {labels.min()}.')
    palette = np.asarray(palette, np.uint8).reshape(-1, 3)
    table = np.concatenate([palette, np.asarray([ignore_colour], np.uint8)])
    index = np.minimum(labels, len(palette))
    if ignore is not None:
        index[labels == ignore] = len(palette)
    return table[index]


def pascal_colours(count: int) -> np.ndarray:
    """(count, 3) uint8 RGB: Pascal VOC's colours, whose channels take turns at the bits of the index.

    >>> pascal_colours(4).tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    index = np.arange(count)
    channels = [sum(((index >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(3)) for channel in range(3)]
    return np.stack(channels, -1).astype(np.uint8)
