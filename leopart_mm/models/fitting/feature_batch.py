"""A batch of dense features with what is known about its images: what a `FeatureStream` yields."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from leopart_mm.geometry.patch_grid import Extent, content_of, scale_extent
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.prediction import Prediction


@dataclass
class FeatureBatch:
    """Dense features of B images, and what the stages made of them so far.

    Args:
        features: What the backbone gave; `features.maps` are (B, C, h, w).
        data_samples: B `SegDataSample`s, or None without any.
        names: B names that tell all images of a data set apart (their paths).
        extents: B extents: where the images lie on the patch grid, in cells.
        inputs: The normalised images (B, 3, H, W) where a stage requests them, else None. For stages at pixel level
            the image at that size, as `UnsupervisedSegmentor` describes.
        input_size: (H, W) of the network's input, padding included; None if unknown.
        keys: B keys by which random choices are drawn, the same wherever the data set lies (`SampleKeys`). Empty:
            `names`.
        cache_keys: B keys of the images in the stream's cache, see `image_keys`; empty without a cache.
        predictions: What the stages gave, by name, in order. A stage whose entry exists is not computed again.
        fit_id: Identifies the fit that the predictions come from, see `UnsupervisedSegmentor.run_stages`.
        others: Features of further networks that stages request, by `Network`.
    """

    features: DenseFeatures
    data_samples: Sequence[Any] | None
    names: list[str]
    extents: list[Extent]
    inputs: Tensor | None = None
    input_size: tuple[int, int] | None = None
    keys: list[str] = field(default_factory=list)
    cache_keys: list[str] = field(default_factory=list)
    predictions: dict[str, Prediction] = field(default_factory=dict)
    fit_id: str | None = None
    others: dict[Any, DenseFeatures] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keys = self.keys or list(self.names)

    def __len__(self) -> int:
        return len(self.extents)

    @property
    def prediction(self) -> Prediction:
        """What the latest stage gave.

        Raises:
            LookupError: If no stage has run.
        """
        if not self.predictions:
            raise LookupError('No stage has made a prediction of this batch: call model.run_stages(batch).')
        return self.predictions[next(reversed(self.predictions))]

    def head(self, count: int) -> 'FeatureBatch':
        """The first `count` images."""
        return self.select(slice(count))

    def select(self, images: slice) -> 'FeatureBatch':
        """A run of the images."""
        return replace(
            self,
            features=self.features.select(images),
            others={network: features.select(images) for network, features in self.others.items()},
            data_samples=None if self.data_samples is None else self.data_samples[images],
            names=self.names[images],
            keys=self.keys[images],
            cache_keys=self.cache_keys[images],
            extents=self.extents[images],
            inputs=None if self.inputs is None else self.inputs[images],
            predictions={name: prediction.select(images) for name, prediction in self.predictions.items()})

    def extents_on(self, grid: tuple[int, int]) -> list[Extent]:
        """Where the images lie on maps of `grid` cells, which may differ from the patch grid (resized features)."""
        return [scale_extent(extent, self.features.grid, grid) for extent in self.extents]

    def content(self, index: int, grid: tuple[int, int]) -> tuple[slice, slice, Extent]:
        """Rows and columns of image `index` on a map of `grid` cells, and its extent on this cut-out.

        Every cell that holds a pixel of the image is in; cells of padding only are out.
        """
        return content_of(scale_extent(self.extents[index], self.features.grid, grid), grid)
