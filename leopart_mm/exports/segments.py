"""Connected segments of label maps of any size, as runs of pixels: memory and time grow with the runs, not the masks.

A run is a stretch of pixels of one category in one column. pycocotools makes run lengths from a mask of the whole image
per segment; a raster of 12,000 x 12,000 px with 10,000 segments would take hours that way.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

COLUMNS_AT_ONCE = 1024


@dataclass(frozen=True)
class Segments:
    """N segments of an image (H, W), in the order of their first pixels down the columns.

    Args:
        size: (H, W).
        categories: (N,) category of each segment.
        starts: (R,) position of each run's first pixel, x * H + y, sorted by segment, then by position.
        lengths: (R,) pixels of each run; a run lies in one column.
        first_run: (N + 1,) where the runs of each segment begin.
    """

    size: tuple[int, int]
    categories: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    first_run: np.ndarray

    def __len__(self) -> int:
        return len(self.categories)

    @cached_property
    def areas(self) -> np.ndarray:
        """(N,) pixels of each segment."""
        total = np.concatenate([[0], np.cumsum(self.lengths)])
        return total[self.first_run[1:]] - total[self.first_run[:-1]]

    def runs(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Starts and lengths of the runs of a segment."""
        part = slice(self.first_run[index], self.first_run[index + 1])
        return self.starts[part], self.lengths[part]

    def box(self, index: int) -> tuple[int, int, int, int]:
        """x, y, width and height of a segment's box."""
        starts, lengths = self.runs(index)
        columns, rows = np.divmod(starts, self.size[0])
        x, y = int(columns[0]), int(rows.min())
        return x, y, int(columns[-1]) - x + 1, int((rows + lengths).max()) - y

    def mask(self, index: int) -> np.ndarray:
        """(height, width) uint8 {0, 1}: a segment in its box."""
        x, y, width, height = self.box(index)
        starts, lengths = self.runs(index)
        columns, rows = np.divmod(starts, self.size[0])
        steps = np.zeros((width, height + 1), np.int8)
        np.add.at(steps, (columns - x, rows - y), 1)
        np.add.at(steps, (columns - x, rows - y + lengths), -1)
        return np.cumsum(steps[:, :-1], axis=1, dtype=np.int8).T.astype(np.uint8)

    def joined_runs(self, index: int) -> np.ndarray:
        """Lengths of what is outside and inside in turn, beginning outside, down the columns; the last is inside."""
        starts, lengths = self.runs(index)
        ends = starts + lengths
        apart = np.flatnonzero(starts[1:] != ends[:-1])  # else it goes on at the top of the next column
        bounds = np.column_stack([starts[np.concatenate([[0], apart + 1])], ends[np.concatenate([apart, [-1]])]])
        return np.diff(bounds.ravel(), prepend=0)

    def run_lengths(self, index: int) -> dict[str, Any]:
        """A segment as COCO's compressed run lengths, of plain Python values."""
        height, width = self.size
        counts = self.joined_runs(index).tolist()
        rest = height * width - sum(counts)
        packed = coco_mask.frPyObjects(dict(size=[height, width], counts=counts + [rest] * (rest > 0)), height, width)
        return dict(size=[height, width], counts=packed['counts'].decode())


def find_segments(labels: np.ndarray, lookup: np.ndarray, whole: bool = False, min_area: int = 1) -> Segments:
    """The connected segments of every category; pixels that share an edge are connected.

    Args:
        labels: (H, W) uint8 or uint16.
        lookup: (2^16,) int category of every label, negative: none; neighbours of one category are one segment.
        whole: All pixels of a category are one segment, connected or not.
        min_area: Smaller segments are left out, in pixels.
    """
    height = labels.shape[0]
    starts, lengths, categories = _runs(labels, lookup)
    if whole:
        _, first, owners = np.unique(categories, return_index=True, return_inverse=True)
        owners = np.argsort(np.argsort(first))[owners] if len(first) else owners
    else:
        owners = _connect(starts, lengths, categories, height)
    number = int(owners.max()) + 1 if len(owners) else 0
    areas = np.bincount(owners, lengths, number)
    kept = areas >= max(min_area, 1)
    owners, runs = np.where(kept, np.cumsum(kept) - 1, -1)[owners], kept[owners]
    starts, lengths, categories, owners = starts[runs], lengths[runs], categories[runs], owners[runs]
    order = np.argsort(owners, kind='stable')
    first_run = np.searchsorted(owners[order], np.arange(int(kept.sum()) + 1))
    return Segments(tuple(labels.shape), categories[order][first_run[:-1]], starts[order], lengths[order], first_run)


def _runs(labels: np.ndarray, lookup: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start, length and category of all runs, down the columns."""
    height, width = labels.shape
    parts = []
    for left in range(0, width, COLUMNS_AT_ONCE):
        found = lookup[labels[:, left:left + COLUMNS_AT_ONCE].T].ravel()  # column after column
        changes = found[1:] != found[:-1]
        changes[height - 1::height] = True
        starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
        lengths = np.diff(starts, append=len(found))
        categories = found[starts]
        inside = categories >= 0
        parts.append((starts[inside] + left * height, lengths[inside], categories[inside]))
    return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))


def _connect(starts: np.ndarray, lengths: np.ndarray, categories: np.ndarray, height: int) -> np.ndarray:
    """The component of every run: runs of one category that touch in neighbouring columns belong together."""
    ends = starts + lengths
    # Those of the next column that share a row: they end behind the start, and start before the end.
    first = np.searchsorted(ends, starts + height, side='right')
    counts = np.maximum(np.searchsorted(starts, ends + height, side='left') - first, 0)
    left = np.repeat(np.arange(len(starts)), counts)
    offsets = np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
    right = np.repeat(first, counts) + offsets
    same = categories[left] == categories[right]
    left, right = left[same], right[same]
    graph = coo_array((np.ones(len(left), bool), (left, right)), shape=(len(starts), len(starts)))
    return connected_components(graph, directed=False)[1]
