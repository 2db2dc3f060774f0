"""Boundary F1 of segmentation masks (docs/methods/leopart.md §11)."""

import cv2
import numpy as np
from scipy.spatial import cKDTree


def contour_points(mask: np.ndarray) -> np.ndarray:
    """(P, 2) int64 points (x, y) of all outer and inner contours of a binary mask (h, w); a point may occur twice."""
    contours = cv2.findContours(np.ascontiguousarray(mask, np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[-2]
    if not len(contours):
        return np.zeros((0, 2), np.int64)
    return np.concatenate([np.asarray(contour).reshape(-1, 2) for contour in contours]).astype(np.int64)


def boundary_f1(gt: np.ndarray, pred: np.ndarray, threshold: float) -> float:
    """F1 of the contours of two binary masks.

    Precision is the share of predicted contour points less than `threshold` pixels from a contour point of the ground
    truth, recall the reverse.

    Args:
        gt: (h, w) true mask.
        pred: (h, w) predicted mask.
        threshold: Distance in pixels.

    Returns:
        0..1. NaN if the masks are both empty, or if no contour point lies close to another (0/0, as published);
        0 if only one of them is empty.

    Raises:
        ValueError: If the masks differ in shape.
    """
    if np.shape(gt) != np.shape(pred):
        raise ValueError(f'The masks differ in shape: {np.shape(gt)} and {np.shape(pred)}.')
    truth, found = contour_points(gt), contour_points(pred)
    if not len(truth) and not len(found):
        return float('nan')
    if not len(truth) or not len(found):
        return 0.
    precision = float((cKDTree(truth).query(found)[0] < threshold).mean())
    recall = float((cKDTree(found).query(truth)[0] < threshold).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else float('nan')


def boundary_f1_per_class(gt: np.ndarray, pred: np.ndarray, threshold: float, num_classes: int,
                          skip_background: bool = True) -> np.ndarray:
    """Boundary F1 of every class of two label maps (h, w).

    Args:
        gt: Classes of the ground truth.
        pred: Predicted classes.
        threshold: See `boundary_f1`, in pixels.
        num_classes: Number of classes.
        skip_background: Leave class 0 out.

    Returns:
        (num_classes,) float64, index = class; NaN for class 0 with `skip_background`, and for a class in neither map.
    """
    present = np.union1d(np.unique(gt), np.unique(pred))
    result = np.full(num_classes, np.nan)
    for index in range(int(skip_background), num_classes):
        if index in present:
            result[index] = boundary_f1(gt == index, pred == index, threshold)
    return result
