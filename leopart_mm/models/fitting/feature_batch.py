"""A batch of dense features with what is known about its images: what a `FeatureStream` yields."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from leopart_mm.models.backbones.features import DenseFeatures

Extent = tuple[float, float, float, float]


@dataclass
class FeatureBatch:
    """Dense features of B images.

    Args:
        features: What the backbone gave; `features.maps` are (B, C, h, w).
        data_samples: B `SegDataSample`s, or None without any.
        names: B names that tell all images of a data set apart (their paths).
        extents: B times (top, bottom, left, right): where the image lies on the patch grid, in cells. Cells outside
            are padding.
        labels: (S, B, h', w') label maps of the stages before; set in streams for post-processors, else None.
        inputs: The normalised images (B, 3, H, W) where a stage needs them, else None.
        keys: B keys by which random choices are drawn, the same wherever the data set lies (`SampleKeys`). Defaults to
            `names`.
    """

    features: DenseFeatures
    data_samples: Sequence[Any] | None
    names: list[str] = field(default_factory=list)
    extents: list[Extent] = field(default_factory=list)
    labels: Tensor | None = None
    inputs: Tensor | None = None
    keys: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = self.keys or list(self.names)

    def __len__(self) -> int:
        return len(self.features.maps[0])

    def head(self, count: int) -> 'FeatureBatch':
        """The first `count` images."""
        tensors = {key: value[:count] for key, value in vars(self.features).items() if isinstance(value, Tensor)}
        features = replace(self.features, maps=tuple(x[:count] for x in self.features.maps), **tensors)
        samples = None if self.data_samples is None else self.data_samples[:count]
        return FeatureBatch(features, samples, self.names[:count], self.extents[:count],
                            None if self.labels is None else self.labels[:, :count],
                            None if self.inputs is None else self.inputs[:count], self.keys[:count])

    def content(self, index: int, grid: tuple[int, int]) -> tuple[slice, slice, Extent]:
        """Rows and columns of image `index` on a map of `grid` cells, and its extent on this cut-out.

        Every cell that holds a pixel of the image is in; cells of padding only are out. `grid` may be another than the
        patch grid (resized features).
        """
        return content_of(self.extents[index], self.features.grid, grid)

    def content_groups(self, grid: tuple[int, int]) -> list[tuple[list[int], tuple[slice, slice, Extent]]]:
        """Images that lie on the grid alike, as (their indices, their `content`), so that they are treated at once."""
        groups: dict[Extent, list[int]] = {}
        for index, extent in enumerate(self.extents):
            groups.setdefault(extent, []).append(index)
        return [(members, self.content(members[0], grid)) for members in groups.values()]


def content_of(extent: Extent, patch_grid: tuple[int, int], grid: tuple[int, int]) -> tuple[slice, slice, Extent]:
    """See `FeatureBatch.content`."""
    scale_y, scale_x = grid[0] / patch_grid[0], grid[1] / patch_grid[1]
    top, bottom, left, right = extent[0] * scale_y, extent[1] * scale_y, extent[2] * scale_x, extent[3] * scale_x
    rows, columns = _cover(top, bottom, grid[0]), _cover(left, right, grid[1])
    return rows, columns, (top - rows.start, bottom - rows.start, left - columns.start, right - columns.start)


def _cover(start: float, end: float, cells: int) -> slice:
    return slice(math.floor(start + 1e-6), min(cells, math.ceil(end - 1e-6)))


def image_extent(meta: dict, input_size: tuple[int, int], grid: tuple[int, int], backbone: nn.Module) -> Extent:
    """Where an image lies on the patch grid, in cells.

    Args:
        meta: The image's metainfo; `img_padding_size` or `padding_size` = (left, right, top, bottom) in pixels.
        input_size: (H, W) of what the backbone saw, padding included.
        grid: (h, w) of its maps.
        backbone: Its `patch_size` and `size_mode` say how long a cell is; without them (or where images are resized to
            the grid) the maps cover the input evenly.
    """
    left, right, top, bottom = meta.get('img_padding_size', meta.get('padding_size', (0, 0, 0, 0)))
    patch = getattr(backbone, 'patch_size', None)
    if patch is not None and getattr(backbone, 'size_mode', 'resize') != 'resize':
        cell_y = cell_x = patch
    else:
        cell_y, cell_x = input_size[0] / grid[0], input_size[1] / grid[1]
    return (top / cell_y, (input_size[0] - bottom) / cell_y, left / cell_x, (input_size[1] - right) / cell_x)
