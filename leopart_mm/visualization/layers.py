"""One label map of an image as a layer that can be painted over it, and rows of such layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leopart_mm.geometry.patch_grid import upsample_labels
from leopart_mm.palette import distinct_colours
from leopart_mm.visualization.cluster_names import ClusterNames
from leopart_mm.visualization.overlay import darken, fit_shape, overlay
from leopart_mm.visualization.panels import row


@dataclass
class Layer:
    """A label map with what is needed to paint it.

    Args:
        title: Text above the picture.
        labels: (h, w) integers, on the patch grid or at any other size.
        extent: Where the image lies in `labels` (top, bottom, left, right), in its cells; None: on all of it.
        num_labels: Ids are 0..num_labels-1, in colours of their own; None: they are classes, in the data set's colours.
        background: Label that is darkened instead of painted; None: there is none. Of two labels, one of them
            background, the map is a mask: the other is not painted either.
    """

    title: str
    labels: Tensor
    extent: tuple[float, float, float, float] | None = None
    num_labels: int | None = None
    background: int | None = None

    def at(self, size: tuple[int, int]) -> np.ndarray:
        """(H, W) labels of the image at a size, nearest."""
        return upsample_labels(self.labels, size, self.extent).numpy()

    def shrunk(self, max_side: int) -> 'Layer':
        """The layer with no side longer than `max_side` and in memory of its own."""
        size = fit_shape(tuple(self.labels.shape), max_side)
        if size == tuple(self.labels.shape):
            return replace(self, labels=self.labels.clone())
        return replace(self, labels=upsample_labels(self.labels, size, self.extent), extent=None)

    def painted(self, image: np.ndarray, names: ClusterNames | None = None,
                metainfo: Mapping[str, Any] | None = None) -> np.ndarray:
        """The image (H, W, 3) uint8 RGB under the labels.

        Args:
            image: (H, W, 3) uint8 RGB.
            names: Names and colours of the labels; None: the palette's.
            metainfo: The data set's, for its colours where the labels are classes.
        """
        labels = self.at(image.shape[:2])
        if self.num_labels is None:
            return overlay(image, labels, class_palette(metainfo or {}, [labels], ignore=None), ignore=None)
        if self.background is not None and self.num_labels <= 2:
            return np.where((labels != self.background)[..., None], image, darken(image))
        names = names or ClusterNames.default(self.num_labels)
        return names.overlay(image, labels, ignore=self.background)


def layers_of(sample: Any, stages: bool = False) -> list[Layer]:
    """What was predicted for an image, the final labels last.

    Args:
        sample: A SegDataSample with ``pred_clusters`` or ``pred_sem_seg``.
        stages: The maps of all stages, where the metainfo ``stages`` has them.
    """
    meta = sample.metainfo
    if stages and meta.get('stages'):
        return [Layer(**stage) for stage in meta['stages'].values()]
    if 'pred_clusters' in sample:
        return [Layer('clusters', sample.pred_clusters.data[0].cpu(), meta.get('cluster_extent'),
                      int(meta['num_clusters']))]
    labels = sample.pred_sem_seg.data[0].cpu()
    if meta.get('num_clusters'):  # of prototypes, which are no classes
        return [Layer('clusters', labels, num_labels=int(meta['num_clusters']))]
    return [Layer('prediction', labels)]


def layer_row(image: np.ndarray, layers: Sequence[Layer], matching: np.ndarray | None = None,
              metainfo: Mapping[str, Any] | None = None, truth: Layer | None = None, ignore: int = 255,
              names: ClusterNames | None = None) -> np.ndarray:
    """One image with what was found in it: image | layers | matched classes | ground truth.

    Args:
        image: (H, W, 3) uint8 RGB.
        layers: The layers in order; the last one holds the final labels.
        matching: (K,) class of each label of the last layer, -1 for none; None, or labels beyond it, leave that picture
            out.
        metainfo: The data set's, for its colours.
        truth: Classes; None leaves that picture out.
        ignore: Label of the truth that has no class and is not painted.
        names: Names and colours of the labels of the last layer; None: the palette's.
    """
    size, metainfo = image.shape[:2], metainfo or {}
    pictures = dict(image=image)
    for layer in layers:
        title, number = layer.title, 2
        while title in pictures:
            title, number = f'{layer.title} {number}', number + 1
        pictures[title] = layer.painted(image, names if layer is layers[-1] else None, metainfo)
    classes = None if truth is None else truth.at(size)
    palette = class_palette(metainfo, [matching, classes], ignore)
    if matching is not None and layers[-1].num_labels is not None:
        labels = layers[-1].at(size)
        if labels.max() < len(matching):
            matched = np.asarray(matching)[labels]
            pictures['matched'] = overlay(image, np.where(matched < 0, ignore, matched), palette, ignore=ignore)
    if classes is not None:
        pictures['ground truth'] = overlay(image, classes, palette, ignore=ignore)
    return row(pictures)


def class_palette(metainfo: Mapping[str, Any], labels: Sequence[np.ndarray | None],
                  ignore: int | None = 255) -> np.ndarray:
    """(C, 3) uint8 RGB: the data set's colours, then distinct ones, for every label that occurs in `labels`.

    mmseg's visualizer leaves labels beyond the class count unpainted; with these colours none is.
    """
    palette = np.asarray(metainfo.get('palette') or np.zeros((0, 3)), np.uint8).reshape(-1, 3)
    highest = [int(array[array != ignore].max()) for array in labels if array is not None and (array != ignore).any()]
    count = max([len(palette), len(metainfo.get('classes') or ()), *(label + 1 for label in highest)])
    return np.concatenate([palette, distinct_colours(count)[len(palette):]])


def truth_of(sample: Any) -> Layer | None:
    """The ground truth of a SegDataSample, if there is any."""
    return Layer('ground truth', sample.gt_sem_seg.data[0].cpu().to(torch.int64)) if 'gt_sem_seg' in sample else None
