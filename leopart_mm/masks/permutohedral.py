"""The permutohedral lattice: Gaussian filtering of many values at points in a few dimensions.

Adams, Baek, Davis: Fast High-Dimensional Filtering Using the Permutohedral Lattice, 2010. Source:
docs/methods/primaps.md §5.3.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from leopart_mm.masks.sparse_products import SparseRows

BLOCK_POINTS = 1 << 18
"""Points that are embedded at once."""
BUFFER_BYTES = 1 << 28
"""Memory of each of the two arrays of values at the vertices; wider values are filtered some columns at a time."""
MAX_KEY = 1 << 62


@dataclass(frozen=True)
class Lattice:
    """The lattice of N points: values go to its M vertices, are blurred there, and come back to the points.

    Args:
        splat: (M, N), barycentric weights of the points at the vertices.
        blurs: d + 1 matrices (M, M), one per axis: half of both neighbours is added.
        slices: (N, M), as `splat`, times the scale that brings the filter near a Gaussian.
    """

    splat: SparseRows
    blurs: tuple[SparseRows, ...]
    slices: SparseRows

    def filter(self, values: Tensor, out: Tensor | None = None) -> Tensor:
        """The values (N, V) float32 filtered, each column by itself, on the lattice's device.

        Args:
            values: (N, V) float32.
            out: (N, V) to which the result is added; None: zeros.
        """
        out = torch.zeros_like(values) if out is None else out
        vertices, number = len(self.splat), values.shape[1]
        width = min(number, max(1, BUFFER_BYTES // (4 * vertices)))
        here, there = (values.new_empty(vertices, width) for _ in range(2))
        for start in range(0, number, width):
            columns = slice(start, min(start + width, number))
            here, there = (buffer[:, :columns.stop - start] for buffer in (here, there))
            self.splat.multiply(values[:, columns], here)
            for blur in self.blurs:
                blur.multiply(here, there)
                here, there = there, here
            self.slices.multiply(here, out[:, columns], add=True)
        return out

    def normalised(self, weight: float = 1.) -> 'Lattice':
        """The lattice of weight * N k N, N the symmetric normalisation of this one's kernel k: no cost when filtering.

        Source: docs/methods/primaps.md §5.1.
        """
        sums = self.filter(self.slices.values.new_ones(len(self.slices), 1))
        norm = (sums + 1e-20).rsqrt()[:, 0]
        splat = replace(self.splat, values=self.splat.values * norm.index_select(0, self.splat.columns))
        scaled = self.slices.values.view(len(norm), -1) * (weight * norm[:, None])
        return replace(self, splat=splat, slices=replace(self.slices, values=scaled.flatten()))


def build_lattice(features: Tensor, by_point: bool = False) -> Lattice:
    """The lattice of points, on their device.

    Args:
        features: (N, d) float32, in standard deviations of the Gaussian.
        by_point: Number the vertices by the first point that touches them, instead of by their coordinates. Filtering
            is faster where neighbouring points have neighbouring positions, and slower elsewhere.

    Raises:
        ValueError: If the features span too many standard deviations for a lattice.
    """
    keys, weights, shifts = _embed(features)
    number, corners = weights.shape
    ordered, order = keys.flatten().sort(stable=True)
    del keys
    first = torch.ones_like(ordered, dtype=torch.bool)
    torch.ne(ordered[1:], ordered[:-1], out=first[1:])
    starts = first.nonzero()[:, 0]
    vertices = ordered[starts]
    starts = torch.cat([starts, first.new_full((1, ), len(ordered), dtype=torch.int64)])
    places = first.cumsum(0, dtype=torch.int32).sub_(1)  # vertex of each entry in order of the keys
    del ordered, first
    static = vertices.device.type == 'cuda' and not by_point
    neighbours = [] if static else [_neighbours(vertices, shift) for shift in shifts]
    if by_point:
        renumbered = order[starts[:-1]].argsort()  # new number -> old one
        ranks = torch.empty_like(renumbered, dtype=torch.int32)
        ranks[renumbered] = torch.arange(len(renumbered), dtype=torch.int32, device=ranks.device)
        neighbours = [tuple(ranks[side] for side in pair) for pair in neighbours]
        counts = starts.diff()[renumbered]
        order = order[_runs(starts[:-1][renumbered], counts)]
        starts = torch.cat([starts[:1], counts.cumsum(0)])
        places = torch.repeat_interleave(counts).int()
    corner_of = torch.empty_like(places)
    corner_of.scatter_(0, order, places)
    splat = SparseRows(starts.int(), (order // corners).int(), weights.flatten().index_select(0, order), number)
    del order, places
    scale = 1 / (1 + 2.**-(corners - 1))
    rows = torch.arange(0, number * corners + 1, corners, dtype=torch.int32, device=weights.device)
    slices = SparseRows(rows, corner_of, weights.flatten() * scale, len(vertices))
    blurs = [_static_blur(vertices, shift) for shift in shifts] if static else [
        _blur(*pair, len(vertices)) for pair in neighbours]
    return Lattice(splat, tuple(blurs), slices)


def _embed(features: Tensor) -> tuple[Tensor, Tensor, list[int]]:
    """Where points lie on the lattice.

    Returns:
        Packed keys (N, d+1) int64 of the corners of the simplex that encloses each point, their barycentric weights
        (N, d+1) float32, and for each of the d + 1 axes what is added to a key for the neighbour along it.
    """
    number, dims = features.shape
    corners = dims + 1
    low, high = torch.stack(_bounds(features)).tolist()
    spans = [int(b - a) + 1 for a, b in zip(low, high, strict=True)]
    if math.prod(spans) >= MAX_KEY:
        raise ValueError(f'A lattice of {dims} dimensions cannot span {spans} cells: take larger standard deviations '
                         '(smooth_xy, appearance_xy, appearance_rgb) or a smaller image.')
    strides = [math.prod(spans[axis + 1:]) for axis in range(dims)]
    keys = torch.empty(number, corners, dtype=torch.int64, device=features.device)
    weights = torch.empty(number, corners, device=features.device)
    for start in range(0, number, BLOCK_POINTS):
        block = slice(start, start + BLOCK_POINTS)
        nearest, ranks, weights[block] = _simplex(features[block])
        packed = sum((nearest[axis].long() - int(low[axis])) * strides[axis] for axis in range(dims))
        for corner in range(corners):
            beyond = sum((ranks[axis] > dims - corner).long() * strides[axis] for axis in range(dims))
            keys[block, corner] = packed + corner * sum(strides) - corners * beyond
    return keys, weights, [-sum(strides) + corners * stride for stride in (*strides, 0)]


def _elevate(features: Tensor) -> list[Tensor]:
    """Points (N, d) on the hyperplane of the lattice: d + 1 coordinates (N,)."""
    dims = features.shape[1]
    scales = [math.sqrt(2 / 3) * (dims + 1) / math.sqrt((axis + 1) * (axis + 2)) for axis in range(dims)]
    total, coordinates = torch.zeros_like(features[:, 0]), []
    for axis in range(dims, 0, -1):
        scaled = features[:, axis - 1] * scales[axis - 1]
        coordinates.append(total - axis * scaled)
        total = total + scaled
    return [total, *reversed(coordinates)]


def _bounds(features: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest coordinates (d,) that a key of these points or of their neighbours can have."""
    dims = features.shape[1]
    lows, highs = [], []
    for block in features.split(BLOCK_POINTS):
        pairs = [coordinate.aminmax() for coordinate in _elevate(block)[:dims]]
        lows.append(torch.stack([pair.min for pair in pairs]))
        highs.append(torch.stack([pair.max for pair in pairs]))
    margin = 3 * (dims + 1)
    return torch.stack(lows).amin(0).floor() - margin, torch.stack(highs).amax(0).ceil() + margin


def _simplex(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The simplex that encloses each point.

    Returns:
        Its corner of remainder 0 (d+1, N), the ranks of the coordinates (d+1, N) in 0..d, barycentric weights (N, d+1).
    """
    corners = features.shape[1] + 1
    elevated = torch.stack(_elevate(features))
    rounded = (elevated / corners).round()
    nearest = rounded * corners
    rest = elevated - nearest
    ranks = torch.zeros_like(elevated)
    for i in range(corners):
        for j in range(i + 1, corners):
            smaller = (rest[i] < rest[j]).float()
            ranks[i] += smaller
            ranks[j] += 1 - smaller
    ranks += rounded.sum(0)
    for wrap in ((ranks < 0).float() * corners, (ranks >= corners).float() * -corners):
        ranks += wrap
        nearest += wrap
    by_rank = torch.empty_like(rest).scatter_(0, ranks.long(), (elevated - nearest) / corners)
    weights = torch.empty_like(features.new_empty(len(features), corners))
    weights[:, 0] = 1 + by_rank[-1] - by_rank[0]
    weights[:, 1:] = (by_rank[:-1] - by_rank[1:]).flip(0).T
    return nearest, ranks, weights


def _neighbours(vertices: Tensor, shift: int) -> tuple[Tensor, Tensor]:
    """Pairs of vertices (as int32 numbers) of which the second is the neighbour of the first along an axis."""
    shifted = vertices + shift
    found = torch.searchsorted(vertices, shifted).clamp_(max=len(vertices) - 1)
    exists = (vertices.index_select(0, found) == shifted).nonzero()[:, 0]
    return exists.int(), found.index_select(0, exists).int()


def _blur(ones: Tensor, others: Tensor, vertices: int) -> SparseRows:
    """The matrix that adds half of both neighbours along an axis: value 1 on the diagonal, 1/2 at each neighbour."""
    table = torch.full((vertices, 3), -1, dtype=torch.int32, device=ones.device)
    table[:, 1] = torch.arange(vertices, dtype=torch.int32, device=ones.device)
    table[ones.long(), 0] = others
    table[others.long(), 2] = ones
    exists = (table >= 0).flatten().nonzero()[:, 0]
    starts = torch.zeros(vertices + 1, dtype=torch.int32, device=ones.device)
    starts[1:] = (table >= 0).sum(1, dtype=torch.int32).cumsum(0)
    weights = torch.tensor([0.5, 1., 0.5], device=ones.device).repeat(vertices)
    columns, values = (part.index_select(0, exists) for part in (table.flatten(), weights))
    return SparseRows(starts, columns, values, vertices)


def _static_blur(vertices: Tensor, shift: int) -> SparseRows:
    """As `_blur`, with three entries in every row, 0 where there is no neighbour: a GPU need not count them."""
    number = len(vertices)
    here = torch.arange(number, device=vertices.device)
    columns, values = [], []
    for wanted in (vertices + shift, vertices, vertices - shift):
        found = torch.searchsorted(vertices, wanted).clamp_(max=number - 1)
        exists = vertices[found] == wanted
        columns.append(torch.where(exists, found, here))
        values.append(exists.float())
    values = torch.stack(values, 1) * (0.5 + 0.5 * (torch.arange(3, device=here.device) == 1))
    starts = torch.arange(0, 3 * number + 1, 3, dtype=torch.int32, device=here.device)
    return SparseRows(starts, torch.stack(columns, 1).flatten().int(), values.flatten(), number)


def _runs(starts: Tensor, counts: Tensor) -> Tensor:
    """The numbers start, ..., start + count - 1 of all runs, one run after the other.

    >>> _runs(torch.tensor([5, 0]), torch.tensor([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    offsets = starts - (counts.cumsum(0) - counts)
    return torch.arange(int(counts.sum()), device=starts.device) + offsets.repeat_interleave(counts)
