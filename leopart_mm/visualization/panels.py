"""Arranging pictures: one row an image, rows below each other, the example patch of a cluster."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from leopart_mm.visualization.cluster_names import ClusterNames
from leopart_mm.visualization.overlay import overlay, resize

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


def prediction_row(image: np.ndarray, clusters: np.ndarray, num_clusters: int, matching: np.ndarray | None = None,
                   class_palette: np.ndarray | None = None, truth: np.ndarray | None = None,
                   ignore: int = 255, titles: bool = True, names: ClusterNames | None = None) -> np.ndarray:
    """One image with what was found in it: image | clusters | matched segmentation | ground truth.

    Args:
        image: (H, W, 3) uint8 RGB.
        clusters: (h, w) cluster ids.
        num_clusters: How many clusters there are (their colours do not depend on which occur).
        matching: (K,) class of each cluster; None leaves the third picture out.
        class_palette: (C, 3) RGB, needed with `matching` or `truth`.
        truth: (h', w') class ids with `ignore`; None leaves the fourth picture out.
        ignore: Label without a class.
        titles: Write the titles above.
        names: Names and colours of the clusters; None: the palette's colours.
    """
    names = names or ClusterNames.default(num_clusters)
    pictures = dict(image=image, clusters=names.overlay(image, clusters))
    if matching is not None:
        matched = np.asarray(matching)[np.minimum(clusters, len(matching) - 1)]
        pictures['matched'] = overlay(image, matched, class_palette, ignore=ignore)
    if truth is not None:
        pictures['ground truth'] = overlay(image, truth, class_palette, ignore=ignore)
    return row(pictures, titles)


def example_patch(image: np.ndarray, labels: np.ndarray, cluster: int, side: int) -> np.ndarray:
    """The window of the image in which the cluster covers most; what is not of the cluster is dimmed."""
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


