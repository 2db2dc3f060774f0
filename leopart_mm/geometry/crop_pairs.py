"""RoIAlign of the overlaps of crop pairs, all pairs at once, as matrix products.

RoIAlign is linear in the map, and its sampling grid and its bilinear weights are products of one factor per axis. So
the weights of a box are a small (k, h) matrix for the rows and a (k, w) matrix for the columns, and their Kronecker
product (k·k, h·w) times the tokens (h·w, C) is the aligned grid. The result equals ``torchvision.ops.roi_align`` with
``aligned=True`` and the automatic sampling ratio, runs on all cores, and compiles.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def axis_weights(start: Tensor, end: Tensor, bins: int, cells: int) -> Tensor:
    """RoIAlign's weights along one axis.

    Args:
        start: (...) lower borders of the boxes in cells (0 = left border of the first cell).
        end: (...) upper borders of the boxes in cells.
        bins: k, number of output bins.
        cells: Length of the map's axis.

    Returns:
        (..., bins, cells) float32. Samples more than a cell outside the map weigh 0, as in torchvision.
    """
    start = start.float() - 0.5
    extent = (end.float() - 0.5 - start)[..., None, None]
    samples = (extent / bins).ceil()
    # A box reaches at most a cell beyond the map, so this bound holds without a look at the data (no device sync).
    max_samples = -(-(cells + 1) // bins) + 1
    steps = torch.arange(max_samples, device=start.device, dtype=torch.float32)
    bin_index = torch.arange(bins, device=start.device, dtype=torch.float32)[:, None]
    size = extent / bins
    per_bin = samples.clamp(min=1)
    position = start[..., None, None] + bin_index * size + (steps + 0.5) * size / per_bin
    used = (steps < samples) & (position >= -1) & (position <= cells)
    position = position.clamp(0, cells - 1)
    cell = torch.arange(cells, device=start.device, dtype=torch.float32)
    hat = (1 - (position[..., None] - cell).abs()).clamp_(min=0)
    return (hat * (used / per_bin)[..., None]).sum(-2)


def roi_matrix(boxes: Tensor, kernel: int, grid: tuple[int, int], flipped: Tensor | None = None) -> Tensor:
    """The matrix that cuts boxes out of a token map.

    Args:
        boxes: (..., 4) x1 y1 x2 y2 in cells.
        kernel: k, side of the output in cells.
        grid: (h, w) of the map.
        flipped: (...) bool; the output of these boxes is mirrored left-right.

    Returns:
        (..., k·k, h·w) float32; times tokens (h·w, C), row-major, gives (k·k, C), row-major.
    """
    rows = axis_weights(boxes[..., 1], boxes[..., 3], kernel, grid[0])
    columns = axis_weights(boxes[..., 0], boxes[..., 2], kernel, grid[1])
    if flipped is not None:
        columns = torch.where(flipped[..., None, None], columns.flip(-2), columns)
    matrix = rows[..., :, None, :, None] * columns[..., None, :, None, :]
    return matrix.flatten(-2).flatten(-3, -2)


class CropPairs:
    """The alignment of every pair (t, v), v != t, of global crops t and crops v.

    Source: docs/methods/leopart.md §4, neco.md §3.2.

    Args:
        gc_boxes: (B, T, V, 4) overlaps x1 y1 x2 y2 in pixels of the global crop t.
        all_boxes: (B, V, T, 4) the same overlaps in pixels of crop v; the T global crops are the first of the V.
        patch_size: Pixels per side of a token.
        kernel: k; every overlap becomes k x k cells.
        flipped: (B, V) bool, crops whose *content* was mirrored (boxes are in the mirrored crop's pixels); their cells
            are mirrored back, so that the two grids of a pair show the same places.

    Attributes:
        pairs: [(t, v), ...], t-major, v ascending; P in number.

    Raises:
        ValueError: If the shapes of the boxes do not belong together, or there is only one crop.
    """

    def __init__(self,
                 gc_boxes: Tensor,
                 all_boxes: Tensor,
                 patch_size: int,
                 kernel: int = 7,
                 flipped: Tensor | None = None) -> None:
        batch, num_global, num_crops = gc_boxes.shape[:3]
        if gc_boxes.shape != (batch, num_global, num_crops, 4) or all_boxes.shape != (batch, num_crops, num_global, 4):
            raise ValueError('gc_boxes must be (B, T, V, 4) and all_boxes (B, V, T, 4), but got '
                             f'{tuple(gc_boxes.shape)} and {tuple(all_boxes.shape)}')
        if num_crops < 2:
            raise ValueError(f'{num_crops} crop per image: a loss over crop pairs needs at least 2')
        self.gc_boxes, self.all_boxes = gc_boxes, all_boxes
        self.patch_size, self.kernel, self.flipped = patch_size, kernel, flipped
        self.num_global, self.num_crops, self.batch = num_global, num_crops, batch
        self.pairs = [(t, v) for t in range(num_global) for v in range(num_crops) if v != t]

    def images(self, start: int, stop: int) -> 'CropPairs':
        """The same pairs for the images start..stop-1 of the batch."""
        flipped = None if self.flipped is None else self.flipped[start:stop]
        return CropPairs(self.gc_boxes[start:stop], self.all_boxes[start:stop], self.patch_size, self.kernel, flipped)

    def teacher_boxes(self, crop: int) -> Tensor:
        """(B, V-1, 4) in cells of the global crop t, one for each v != t."""
        return _without(self.gc_boxes[:, crop], crop).float() / self.patch_size

    def teacher_matrix(self, crop: int, grid: tuple[int, int]) -> Tensor:
        """(B, (V-1)·k·k, h·w) for the map of the global crop t."""
        return self._matrix(self.teacher_boxes(crop), crop, grid)

    def student_matrix(self, crop: int, grid: tuple[int, int], weights: Tensor | None = None) -> Tensor:
        """(B, n·k·k, h·w) for the map of crop v and its n teachers t != v, ascending.

        Rows of cells whose entry in `weights` (P, B, k·k) is 0 are 0.
        """
        matrix = self._matrix(_without(self.all_boxes[:, crop], crop).float() / self.patch_size, crop, grid)
        if weights is None:
            return matrix
        counts = [weights[index] != 0 for index, (_, v) in enumerate(self.pairs) if v == crop]
        return matrix * torch.stack(counts, 1).flatten(1).unsqueeze(-1)

    def _matrix(self, boxes: Tensor, crop: int, grid: tuple[int, int]) -> Tensor:
        flipped = None if self.flipped is None else self.flipped[:, crop, None].expand(boxes.shape[:2])
        return roi_matrix(boxes, self.kernel, grid, flipped).flatten(1, 2)

    def align_teacher(self, maps: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        """T maps (B, h·w, C) of the global crops -> (P, B, k·k, C) float32, pairs in order."""
        aligned = [self._apply(self.teacher_matrix(t, grid), tokens) for t, tokens in enumerate(maps)]
        return torch.cat([cells.transpose(0, 1) for cells in aligned])

    def align_student(self, maps: Sequence[Tensor], matrices: Sequence[Tensor]) -> Tensor:
        """V maps (B, h·w, C) and their student matrices -> (P, B, k·k, C) float32, pairs in order."""
        aligned = [self._apply(matrix, tokens) for matrix, tokens in zip(matrices, maps, strict=True)]
        # A local crop has a grid for each of the T teachers, so teacher t's is number t. A global crop v is not paired
        # with itself: its grids are those of the other teachers, so the ones behind v have moved one place forward.
        return torch.stack([aligned[v][:, t if v >= self.num_global or t < v else t - 1] for t, v in self.pairs])

    def _apply(self, matrix: Tensor, tokens: Tensor) -> Tensor:
        """(B, n·k·k, h·w) x (B, h·w, C) -> (B, n, k·k, C) in float32, also under autocast."""
        with torch.autocast(tokens.device.type, enabled=False):
            return (matrix @ tokens.float()).unflatten(1, (-1, self.kernel * self.kernel))


def _without(boxes: Tensor, index: int) -> Tensor:
    """(B, n, 4) boxes without entry `index` of dimension 1 (all of them if there is no such entry)."""
    return torch.cat([boxes[:, :index], boxes[:, index + 1:]], 1)
