"""Gathering examples of every cluster while images stream by; the sheet as a picture and as an HTML page."""

import heapq
import os
import re
from collections.abc import Sequence

import numpy as np

from leopart_mm.visualization import html
from leopart_mm.visualization.cluster_names import BACKGROUND, ClusterNames
from leopart_mm.visualization.overlay import fit_side
from leopart_mm.visualization.panels import example_patch, fitting_text, row, stack, text_width, write_text

MAX_NAME = 360  # pixels
PICTURE_SIDE = 80  # pixels; larger patches are for the page
UNNAMED = re.compile(r'cluster \d+')


class ClusterSheet:
    """Example patches, share and community of every cluster.

    Memory is `num_clusters * examples` patches, whatever the number of images. The patches of a cluster come from the
    images of which it covers the largest share, one per image.

    Args:
        num_clusters: K.
        names: Names and colours of the clusters. None: numbers and the palette's colours.
        communities: (K,) community of each cluster. None: there are none.
        examples: Number of patches per cluster.
        side: Side of a patch in pixels.
        max_side: Longest side of an image in pixels; larger ones are shrunk before patches are cut.
    """

    def __init__(self, num_clusters: int, names: ClusterNames | None = None, communities: Sequence | None = None,
                 examples: int = 8, side: int = 64, max_side: int = 1024) -> None:
        self.num_clusters = num_clusters
        self.names = names or ClusterNames.default(num_clusters)
        if len(self.names.names) != num_clusters or (communities is not None and len(communities) != num_clusters):
            raise ValueError(f'A sheet of {num_clusters} clusters needs {num_clusters} names and communities.')
        self.communities = communities
        self.examples, self.side, self.max_side = examples, side, max_side
        self.num_images = 0
        self._pixels = np.zeros(num_clusters, np.int64)
        self._images = np.zeros(num_clusters, np.int64)
        self._best: list[list[tuple[float, int, np.ndarray]]] = [[] for _ in range(num_clusters)]

    def add(self, image: np.ndarray, labels: np.ndarray, missing: np.ndarray | None = None) -> None:
        """Take what is needed from an image.

        Args:
            image: (H, W, 3) uint8 RGB.
            labels: (h, w) integers in 0..K-1.
            missing: (h, w) bool, pixels whose label does not count; None: there are none.

        Raises:
            ValueError: If a label is not below K.
        """
        if missing is not None:  # an id of their own, which is no cluster
            labels = np.where(missing, self.num_clusters, labels)
            self._add(image, labels)
            return
        if labels.max() >= self.num_clusters:
            raise ValueError(f'Labels reach to {labels.max()}, but the sheet has the clusters 0 to '
                             f'{self.num_clusters - 1}.')
        self._add(image, labels)

    def _add(self, image: np.ndarray, labels: np.ndarray) -> None:
        counts = sum(np.bincount(line, minlength=self.num_clusters)[:self.num_clusters] for line in labels)
        self._pixels += counts
        self._images += counts > 0
        image, labels = fit_side(image, self.max_side), fit_side(labels, self.max_side, labels=True)
        for cluster in counts.nonzero()[0]:
            # Earlier images win ties, so that the sheet does not depend on the order of a heap.
            entry = counts[cluster] / labels.size, -self.num_images
            best = self._best[cluster]
            if (len(best) == self.examples and entry <= best[0][:2]) or not (labels == cluster).any():
                continue
            patch = example_patch(image, labels, cluster, self.side)
            (heapq.heappush if len(best) < self.examples else heapq.heapreplace)(best, (*entry, patch))
        self.num_images += 1

    @property
    def shares(self) -> np.ndarray:
        """(K,) share of all pixels, 0..1."""
        return self._pixels / max(self._pixels.sum(), 1)

    def patches(self, cluster: int) -> list[np.ndarray]:
        """Example patches (side, side, 3), the best first."""
        return [patch for *_, patch in sorted(self._best[cluster], key=lambda entry: entry[:2], reverse=True)]

    def order(self, max_clusters: int | None = None) -> list[int]:
        """Clusters that occur: by community (the largest first), then by share."""
        clusters = [int(cluster) for cluster in np.argsort(-self.shares, kind='stable') if self._pixels[cluster]]
        if self.communities is not None:
            total: dict = {}
            for cluster in clusters:
                total[self.communities[cluster]] = total.get(self.communities[cluster], 0) + self.shares[cluster]
            ranks = {name: rank for rank, name in enumerate(sorted(total, key=lambda name: -total[name]))}
            clusters.sort(key=lambda cluster: ranks[self.communities[cluster]])  # stable: shares stay in order
        return clusters[:max_clusters]

    def picture(self, max_clusters: int | None = 40) -> np.ndarray:
        """(H, W, 3) uint8 RGB: one cluster per row.

        Raises:
            ValueError: If no image was added.
        """
        rows, side = [], min(self.side, PICTURE_SIDE)
        for cluster in self.order(max_clusters):
            label = np.full((side, 190, 3), 255, np.uint8)
            label[:, :10] = self.names.colours[cluster]
            community = '' if self.communities is None else f', community {self.communities[cluster]}'
            for text, height in ((self.names.names[cluster], -4),
                                 (f'{100 * self.shares[cluster]:.1f} %{community}', 12)):
                write_text(label, fitting_text(text, 172), (14, side // 2 + height))
            rows.append(row({'': np.concatenate([label, self._strip(cluster, side)], axis=1)}, titles=False))
        if not rows:
            raise ValueError('There is no labelled image to show clusters of.')
        return stack(rows)

    def _strip(self, cluster: int, side: int) -> np.ndarray:
        """Patches of this side, side by side, filled up with white."""
        patches = [np.pad(fit_side(patch, side), ((0, 0), (4, 0), (0, 0)), constant_values=255)
                   for patch in self.patches(cluster)]
        blank = np.full((side, side + 4, 3), 255, np.uint8)
        return np.concatenate(patches + [blank] * (self.examples - len(patches)), axis=1)

    def save_html(self, path: str | os.PathLike, title: str = 'Clusters', note: str = '') -> None:
        """Write a page that needs no other file: all clusters that occur, with their patches.

        Args:
            path: The file.
            title: Its heading.
            note: What it says below, after the numbers.

        Raises:
            OSError: If the file cannot be written.
        """
        communities = self.communities is not None
        rows = []
        for cluster in self.order():
            name = html.swatch(self.names.colours[cluster]) + html.escape(self.names.names[cluster])
            community = [self.communities[cluster]] if communities else []
            rows.append([html.Markup(name), cluster, *community, f'{100 * self.shares[cluster]:.2f} %',
                         self._images[cluster], html.image(self._strip(cluster, self.side), 'examples')])
        absent = int((self._pixels == 0).sum())
        found = f'{self.num_images} images, {len(rows)} clusters' + (f'; {absent} do not occur' if absent else '')
        header = ['name', 'cluster', *(['community'] if communities else []), 'share', 'images', 'examples']
        html.write_page(path, title, f'{found}. In the examples, pixels of other clusters are grey. {note}'.strip(),
                        html.table(header, rows))


def legend(names: ClusterNames, labels: Sequence[int], shares: np.ndarray | None = None) -> np.ndarray:
    """(H, W, 3) uint8 RGB: colour, name and share of `labels`, one per line; background is marked, hidden left out.

    Raises:
        ValueError: If `labels` is empty.
    """
    if not len(labels):
        raise ValueError('A legend needs at least one label.')
    lines = []
    for label in labels:
        if names.hidden[label]:
            continue
        name = names.names[label]
        if names.background[label] and name != BACKGROUND:
            name = f'{fitting_text(name, MAX_NAME - 80)} ({BACKGROUND})'
        lines.append((label, fitting_text(name, MAX_NAME), '' if shares is None else f'{100 * shares[label]:.1f} %'))
    if not lines:
        lines = [(None, 'every cluster is hidden', '')]
    width = max(260, 32 + max(text_width(name) for _, name, _ in lines) + 70)
    picture = np.full((len(lines) * 26 - 4, width, 3), 255, np.uint8)
    for number, (label, name, share) in enumerate(lines):
        line = picture[26 * number:26 * number + 22]
        if label is not None:
            line[3:19, 4:24] = (60, 60, 60) if names.background[label] else names.colours[label]
        write_text(line, name, (32, 15))
        write_text(line, share, (width - 8 - text_width(share), 15))
    return picture


def legend_labels(names: ClusterNames, shares: np.ndarray, limit: int) -> list[int]:
    """The labels that a legend has room for, of those that occur and are not hidden: named first, background last."""
    order = np.argsort(-np.asarray(shares), kind='stable')
    found = [int(label) for label in order if shares[label] > 0 and not names.hidden[label]]
    return sorted(found, key=lambda label: (bool(names.background[label]),
                                            bool(UNNAMED.fullmatch(names.names[label]))))[:limit]
