"""How an image was split into principal masks: one row per mask, from its direction to its pixels."""

import cv2
import numpy as np

from leopart_mm.masks.principal import PrincipalMasks
from leopart_mm.palette import distinct_colours
from leopart_mm.visualization.overlay import fit_side, overlay, resize
from leopart_mm.visualization.panels import row, stack

GREY = np.array([128, 128, 128], np.uint8)
NEGATIVE, ZERO, POSITIVE = (np.array(colour, float) for colour in ((33, 102, 172), (247, 247, 247), (178, 24, 43)))


def principal_sheet(image: np.ndarray, masks: PrincipalMasks, cleaned: np.ndarray, labels: np.ndarray,
                    max_masks: int = 12, side: int = 200) -> np.ndarray:
    """The image and all masks, then a row per mask: cosines with its direction, similarity to its anchor, mask, pixels.

    Cosines are blue below 0 and red above, removed cells grey, the anchor a ring; similarities run from dark to yellow
    and are 0 below the threshold.

    Args:
        image: (H, W, 3) uint8 RGB, the area of the cells.
        masks: Of `principal_masks`, on the CPU.
        cleaned: (M, h, w) of `clean_masks`.
        labels: (H, W) mask numbers 1..M, 255 in none.
        max_masks: Number of masks with a row.
        side: Longest side of a picture.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    image = fit_side(image, side)
    labels = fit_side(labels, side, labels=True)
    numbers = [int(number) for number in np.unique(labels) if number != 255]
    colours = distinct_colours(len(masks) + 1)
    left = 100 * masks.free[-1].float().mean().item() if len(masks) else 100
    on_cells = np.where(cleaned.any(0), cleaned.argmax(0) + 1, 255) if len(masks) else np.full((1, 1), 255)
    rows = [row({
        'image': image,
        f'{len(np.unique(on_cells[on_cells != 255]))} masks, cells': overlay(image, on_cells, colours),
        f'{len(numbers)} masks, pixels': overlay(image, labels, colours),
        f'{left:.1f} % left free': _seen(image, masks.free[-1].numpy() if len(masks) else np.ones((1, 1), bool)),
    })]
    free = np.ones(masks.free.shape[1:], bool)
    for index in range(min(len(masks), max_masks)):
        cells, removed = int((cleaned[index] > 0).sum()), masks.soft_masks[index].numpy() > 0
        rows.append(row({
            f'{index + 1}: direction': _directions(masks, index, free, image.shape[:2]),
            'similarity': _similarity(masks.soft_masks[index].numpy(), image.shape[:2]),
            f'{removed.sum()} cells, clean {cells}': _seen(image, cleaned[index] > 0),
            f'{int((labels == index + 1).sum()) / labels.size:.1%} of pixels': _seen(image, labels == index + 1),
        }))
        free = masks.free[index].numpy()
    return stack(rows)


def _seen(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image, dark outside of a mask of any size."""
    inside = resize(mask.astype(np.uint8), image.shape[:2], labels=True)[..., None]
    return np.rint(image * (0.2 + 0.8 * inside)).astype(np.uint8)


def _directions(masks: PrincipalMasks, index: int, free: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    cosines = masks.direction_similarity[index].numpy()
    share = np.abs(cosines / max(np.abs(cosines).max(), 1e-6))[..., None]
    painted = ZERO * (1 - share) + np.where(cosines[..., None] < 0, NEGATIVE, POSITIVE) * share
    painted = np.where(free[..., None], painted, GREY).astype(np.uint8)
    picture = np.ascontiguousarray(resize(painted, size, labels=True))
    y, x = np.divmod(int(masks.anchors[index]), cosines.shape[1])
    centre = round((x + 0.5) * size[1] / cosines.shape[1]), round((y + 0.5) * size[0] / cosines.shape[0])
    cv2.circle(picture, centre, 5, (0, 0, 0), 2, cv2.LINE_AA)
    return picture


def _similarity(soft: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    levels = np.clip(np.nan_to_num(soft) * 255, 0, 255).astype(np.uint8)
    return resize(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[..., ::-1], size, labels=True)
