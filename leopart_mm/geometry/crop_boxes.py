"""The geometry of multi-crop: sampling crop boxes, and the boxes where two crops overlap.

Boxes are ``x1 y1 x2 y2`` in pixels, with x2 and y2 exclusive, so that a width is ``x2 - x1``. Crops are ordered: first
all global crops, then the others. NumPy only.
"""

import math
from collections.abc import Sequence

import numpy as np

Box = tuple[int, int, int, int]


def sample_crop(height: int,
                width: int,
                scale: tuple[float, float],
                rng: np.random.Generator,
                ratio: tuple[float, float] = (3 / 4, 4 / 3),
                tries: int = 10) -> Box:
    """Draw one crop by torchvision's rule of RandomResizedCrop.

    The area is uniform in `scale` times the image's, the aspect ratio (width / height) log-uniform in `ratio`, the
    place uniform. If none of `tries` draws fits into the image, the crop is the largest centred one of an allowed
    ratio.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        scale: Range of the crop's area, as a share of the image's.
        rng: Source of the draws.
        ratio: Range of the crop's width / height.
        tries: Number of draws before the fall-back.

    Returns:
        Integer box inside the image, at least 1x1.
    """
    log_low, log_high = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(tries):
        area = height * width * (scale[0] + (scale[1] - scale[0]) * rng.random())
        aspect = math.exp(log_low + (log_high - log_low) * rng.random())
        w = round(math.sqrt(area * aspect))
        h = round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            x = int(rng.random() * (width - w + 1))
            y = int(rng.random() * (height - h + 1))
            return x, y, x + w, y + h
    w, h = width, height
    if width / height < ratio[0]:
        h = max(1, min(height, round(width / ratio[0])))
    elif width / height > ratio[1]:
        w = max(1, min(width, round(height * ratio[1])))
    x, y = (width - w) // 2, (height - h) // 2
    return x, y, x + w, y + h


def intersect(a: Box, b: Box) -> Box:
    """The intersection of two boxes; empty if its x2 <= x1 or y2 <= y1.

    >>> intersect((0, 0, 6, 4), (2, 1, 9, 9))
    (2, 1, 6, 4)
    """
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def box_area(box: Box) -> int:
    """Pixels in a box, 0 if it is empty."""
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def centre_on(box: Box, target: Box, height: int, width: int) -> Box:
    """Move a box, keeping its size, so that its centre comes as near to the target's as the image allows."""
    w, h = box[2] - box[0], box[3] - box[1]
    x = min(max((target[0] + target[2] - w) // 2, 0), width - w)
    y = min(max((target[1] + target[3] - h) // 2, 0), height - h)
    return x, y, x + w, y + h


def contained_share(box: Box, other: Box) -> float:
    """Share of a box that lies in another one, 0 to 1.

    >>> contained_share((0, 0, 4, 2), (3, 0, 9, 9))
    0.25
    """
    return box_area(intersect(box, other)) / box_area(box)


def move_into(box: Box, outer: Box) -> Box:
    """Move a box, keeping its size, as little as brings it into another one; along a side that is longer, not at all.

    >>> move_into((0, 5, 4, 7), (3, 0, 9, 6))
    (3, 4, 7, 6)
    """
    x, y = (min(max(box[k], outer[k]), outer[k + 2] - box[k + 2] + box[k])
            if box[k + 2] - box[k] <= outer[k + 2] - outer[k] else box[k] for k in (0, 1))
    return x, y, x + box[2] - box[0], y + box[3] - box[1]


def sample_crops(height: int,
                 width: int,
                 num_crops: Sequence[int],
                 scales: Sequence[tuple[float, float]],
                 rng: np.random.Generator,
                 ratio: tuple[float, float] = (3 / 4, 4 / 3),
                 min_overlap: float = 0.01,
                 max_tries: int = 1000,
                 min_containment: float = 0.) -> tuple[np.ndarray, np.ndarray]:
    """Draw all crops of one image so that each overlaps every global crop (docs/methods/leopart.md §2).

    Crop i > 0 is redrawn until its overlap with every global crop drawn so far is larger than
    ``floor(min_overlap * height * width)`` pixels, twice that among global crops. On images where this (nearly) never
    happens, such as 1x1000 pixels, the published code never ends. Here, after `max_tries` draws, the last one is
    moved to the centre of the area that all global crops so far share. That always leaves an overlap of at least one
    pixel with every global crop (boxes that overlap pairwise have a common area), usually much more: the smaller
    of the crop's and the shared area's side along x and along y, but not necessarily `min_overlap`.

    With `min_containment`, local crop i (from 0) is also redrawn until that share of it lies in global crop i mod T
    (docs/methods/paka.md §2); the fall-back then moves it into that crop, as far as its sides allow.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        num_crops: Number of crops of each kind; the first kind is the global one.
        scales: Range of the area of each kind, as a share of the image's.
        rng: Source of the draws.
        ratio: Range of a crop's width / height.
        min_overlap: Smallest overlap, as a share of the image's area.
        max_tries: Number of draws per crop before the fall-back.
        min_containment: Smallest share of a local crop inside its global one, 0 (none is asked for) to 1.

    Returns:
        Boxes (V, 4) int64 in image pixels, and bool (V,): which of them come from the fall-back.
    """
    threshold = math.floor(min_overlap * height * width)
    globals_: list[Box] = []
    boxes: list[Box] = []
    moved: list[bool] = []
    for kind, (count, scale) in enumerate(zip(num_crops, scales, strict=True)):
        needed = 2 * threshold if kind == 0 else threshold
        for _ in range(count):
            parent = globals_[len(boxes) % num_crops[0]] if kind and min_containment > 0 else None
            for _ in range(max_tries):
                box = sample_crop(height, width, scale, rng, ratio)
                found = all(box_area(intersect(box, other)) > needed for other in globals_) and (
                    parent is None or contained_share(box, parent) >= min_containment)
                if found:
                    break
            else:
                shared = globals_[0]
                for other in globals_[1:]:
                    shared = intersect(shared, other)
                box = centre_on(box, shared, height, width)
                box = box if parent is None else move_into(box, parent)
            boxes.append(box)
            moved.append(not found)
            if kind == 0:
                globals_.append(box)
    return np.array(boxes, dtype=np.int64), np.array(moved)


def crop_boxes(absolute: np.ndarray,
               sizes: Sequence[int],
               num_crops: Sequence[int],
               flipped: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The overlaps of all crop pairs, in pixels of the resized crops (docs/methods/leopart.md §2, neco.md §2.2).

    Args:
        absolute: (V, 4) crop boxes in image pixels; the first ``num_crops[0]`` = T are the global ones.
        sizes: Side of the resized crops of each kind in pixels.
        num_crops: Number of crops of each kind.
        flipped: (V,) bool, crops that are mirrored after resizing. Their boxes are those of the mirrored crop
            (still x1 < x2); what lies left in the box then lies right in the image.

    Returns:
        ``gc`` (T, V, 4): overlap of crops t and v in crop t's pixels; ``all`` (V, T, 4): the same in crop v's. float32.

    Raises:
        ValueError: If the sizes do not fit together or a crop does not overlap a global one.
    """
    absolute = np.asarray(absolute, dtype=np.float64)
    num_crops, sizes = [int(n) for n in num_crops], [int(s) for s in sizes]
    if absolute.shape != (sum(num_crops), 4) or len(sizes) != len(num_crops):
        raise ValueError(f'absolute must be ({sum(num_crops)}, 4) and there must be as many sizes as num_crops; got '
                         f'{absolute.shape}, sizes {sizes}, num_crops {num_crops}')
    T = num_crops[0]
    sides = np.repeat(np.array(sizes, dtype=np.float64), num_crops)
    low, high = absolute[:, :2], absolute[:, 2:]
    overlap_low = np.maximum(low[:T, None], low[None])  # (T, V, 2)
    overlap_high = np.minimum(high[:T, None], high[None])
    if not (overlap_low < overlap_high).all():
        t, v = np.argwhere((overlap_low >= overlap_high).any(-1))[0]
        raise ValueError(f'crops {t} {absolute[t].tolist()} and {v} {absolute[v].tolist()} do not overlap')
    per_pixel = sides[:, None] / (high - low)  # (V, 2)

    def relative(origin: np.ndarray, factor: np.ndarray) -> np.ndarray:
        return np.concatenate([(overlap_low - origin) * factor, (overlap_high - origin) * factor], axis=-1)

    in_t = relative(low[:T, None], per_pixel[:T, None])
    in_v = relative(low[None], per_pixel[None])
    if flipped is not None and np.any(flipped):
        flipped = np.asarray(flipped, dtype=bool)
        in_t[flipped[:T]] = mirror(in_t[flipped[:T]], sides[0])
        in_v[:, flipped] = mirror(in_v[:, flipped], sides[flipped])
    return in_t.astype(np.float32), in_v.transpose(1, 0, 2).astype(np.float32)


def mirror(boxes: np.ndarray, side: float | np.ndarray) -> np.ndarray:
    """Boxes (..., 4) of a crop of this side after a horizontal flip; x1 < x2 is kept."""
    x1, y1, x2, y2 = np.moveaxis(boxes, -1, 0)
    return np.stack([side - x2, y1, side - x1, y2], axis=-1)
