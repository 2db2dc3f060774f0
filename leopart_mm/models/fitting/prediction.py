"""Prediction: label maps or scores of a batch, as they are passed from the head through the post-processors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from leopart_mm.geometry.patch_grid import Extent, content_groups, content_of, upsample_labels, upsample_scores


@dataclass
class Prediction:
    """What a stage says about B images, in S variants (seeds), on a grid of (h, w) cells or pixels.

    A stage gives labels or scores. `labels` may be left None where there are scores; `hard_labels` has both cases.

    Args:
        labels: (S, B, h, w) int64, ids 0..num_labels-1.
        scores: (S, B, K, h, w) float; the label of a cell is the largest of its K = num_labels scores.
        extents: B extents: where the images lie on this grid, in its cells.
        num_labels: Number of labels.

    Raises:
        ValueError: If there are neither labels nor scores, or shapes do not agree.
    """

    labels: Tensor | None
    extents: list[Extent]
    num_labels: int
    scores: Tensor | None = None

    def __post_init__(self) -> None:
        if self.labels is None and self.scores is None:
            raise ValueError('A Prediction needs labels or scores.')
        if self.labels is not None and self.labels.ndim != 4:
            raise ValueError(f'Labels of a Prediction must be (S, B, h, w), not {tuple(self.labels.shape)}.')
        if self.scores is not None and (self.scores.ndim != 5 or self.scores.shape[2] != self.num_labels):
            raise ValueError(f'Scores of a Prediction must be (S, B, {self.num_labels}, h, w), not '
                             f'{tuple(self.scores.shape)}.')
        if len(self.extents) != len(self):
            raise ValueError(f'A Prediction of {len(self)} images needs as many extents, not {len(self.extents)}.')

    @property
    def _maps(self) -> Tensor:
        return self.scores if self.labels is None else self.labels

    def __len__(self) -> int:
        """Number of images, B."""
        return self._maps.shape[1]

    @property
    def num_maps(self) -> int:
        """Number of variants, S."""
        return self._maps.shape[0]

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w)."""
        return tuple(self._maps.shape[-2:])

    @property
    def hard_labels(self) -> Tensor:
        """(S, B, h, w) int64: the labels, or the label of largest score."""
        return self.scores.argmax(2) if self.labels is None else self.labels

    def with_labels(self, labels: Tensor, num_labels: int) -> 'Prediction':
        """The same images on the same grid with other label maps (S', B, h, w)."""
        return Prediction(labels, self.extents, num_labels)

    def content(self, index: int) -> tuple[slice, slice, Extent]:
        """Rows and columns that hold pixels of image `index`, and its extent on this cut-out; see `content_of`."""
        return content_of(self.extents[index], self.grid)

    def content_groups(self) -> list[tuple[list[int], tuple[slice, slice, Extent]]]:
        """Images that lie on the grid alike, as (their indices, their `content`), so that they are treated at once."""
        return content_groups(self.extents, self.grid)

    def select(self, images: slice | Sequence[int]) -> 'Prediction':
        """The prediction of some of the images."""
        extents = self.extents[images] if isinstance(images, slice) else [self.extents[index] for index in images]
        return replace(self, labels=None if self.labels is None else self.labels[:, images], extents=extents,
                       scores=None if self.scores is None else self.scores[:, images])

    def to_pixels(self, index: int, size: tuple[int, int], variants: slice = slice(None)) -> 'Prediction':
        """The prediction of image `index` at (H, W) pixels, without padding: labels nearest, scores bilinear.

        Args:
            index: Index of the image in the batch.
            size: (H, W) of the whole image, whatever the grid is.
            variants: Slice of the S maps.
        """
        rows, columns, extent = self.content(index)
        labels = scores = None
        if self.scores is not None:
            maps = [upsample_scores(part[index, :, rows, columns], size, extent) for part in self.scores[variants]]
            scores = maps[0][None, None] if len(maps) == 1 else torch.stack(maps)[:, None]
        else:
            labels = upsample_labels(self.labels[variants, index, rows, columns], size, extent)[:, None]
        return Prediction(labels, [Extent(0, size[0], 0, size[1])], self.num_labels, scores)
