"""A batch of dense features with what is known about its images: what a `FeatureStream` yields."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from leopart_mm.geometry import patch_grid
from leopart_mm.geometry.patch_grid import Extent, content_of, scale_extent
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.prediction import content_groups


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
        cache_keys: B keys of the images in the stream's cache, see `image_keys`; empty without a cache.
        input_size: (H, W) of the network's input, padding included; None if unknown.
    """

    features: DenseFeatures
    data_samples: Sequence[Any] | None
    names: list[str] = field(default_factory=list)
    extents: list[Extent] = field(default_factory=list)
    labels: Tensor | None = None
    inputs: Tensor | None = None
    keys: list[str] = field(default_factory=list)
    cache_keys: list[str] = field(default_factory=list)
    input_size: tuple[int, int] | None = None

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
                            None if self.inputs is None else self.inputs[:count], self.keys[:count],
                            self.cache_keys[:count], self.input_size)

    def content(self, index: int, grid: tuple[int, int]) -> tuple[slice, slice, Extent]:
        """Rows and columns of image `index` on a map of `grid` cells, and its extent on this cut-out.

        Every cell that holds a pixel of the image is in; cells of padding only are out. `grid` may be another than the
        patch grid (resized features).
        """
        return content_of(scale_extent(self.extents[index], self.features.grid, grid), grid)

    def content_groups(self, grid: tuple[int, int]) -> list[tuple[list[int], tuple[slice, slice, Extent]]]:
        """Images that lie on the grid alike, as (their indices, their `content`), so that they are treated at once."""
        return content_groups([scale_extent(extent, self.features.grid, grid) for extent in self.extents], grid)


def image_extent(meta: dict, input_size: tuple[int, int], grid: tuple[int, int], backbone: nn.Module) -> Extent:
    """Where an image lies on the patch grid, in cells.

    Args:
        meta: The image's metainfo; `img_padding_size` or `padding_size` = (left, right, top, bottom) in pixels.
        input_size: (H, W) of what the backbone saw, padding included.
        grid: (h, w) of its maps.
        backbone: Its `patch_size` and `size_mode` say how long a cell is; without them (or where images are resized to
            the grid) the maps cover the input evenly.
    """
    padding = meta.get('img_padding_size', meta.get('padding_size', (0, 0, 0, 0)))
    patch = getattr(backbone, 'patch_size', None)
    if getattr(backbone, 'size_mode', 'resize') == 'resize':
        patch = None
    return patch_grid.image_extent(input_size, grid, padding, patch)
