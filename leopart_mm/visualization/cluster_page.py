"""The page on which a person names clusters: one file, whose script writes the names file."""

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources

import numpy as np

from leopart_mm.files import encode_image, write_text_whole
from leopart_mm.palette import distinct_colours
from leopart_mm.visualization import html
from leopart_mm.visualization.cluster_names import HEADER, ClusterNames
from leopart_mm.visualization.cluster_sheet import ClusterSheet
from leopart_mm.visualization.overlay import DARKNESS, fit_side, resize

ALPHA = 0.6  # as in overlays
MANY = 100  # clusters, from which on examples are fewer and smaller: a page of 500 clusters stays below 10 MB
PREVIEW_SIDE = 320


class ClusterPage(ClusterSheet):
    """A ClusterSheet that also writes ``clusters.html``: examples of every cluster to be named, coloured and merged.

    The page is one file and fetches nothing. It shows examples, share and community of every cluster, and a few of the
    images, painted with what the person chooses, as the next run will paint them. What it saves, `ClusterNames.load`
    reads.

    Args:
        num_clusters: K.
        names: Names and colours of the clusters. None: numbers and the palette's colours.
        communities: (K,) community of each cluster. None: there are none.
        examples: Number of patches per cluster. None: 6, or 4 of many clusters.
        side: Side of a patch in pixels. None: 112, or 80 of many clusters.
        max_side: Longest side of an image in pixels; larger ones are shrunk before patches are cut.
        previews: Number of images to paint, spread evenly over all.
    """

    def __init__(self, num_clusters: int, names: ClusterNames | None = None, communities: Sequence | None = None,
                 examples: int | None = None, side: int | None = None, max_side: int = 1024, previews: int = 6) -> None:
        many = num_clusters > MANY
        super().__init__(num_clusters, names, communities, examples or (4 if many else 6),
                         side or (80 if many else 112), max_side)
        self.previews = previews
        self._step = 1
        self._kept: list[tuple[np.ndarray, np.ndarray]] = []

    def _add(self, image: np.ndarray, labels: np.ndarray) -> None:
        if self.previews and self.num_images % self._step == 0:
            if len(self._kept) == 2 * self.previews:  # every second one is enough from here on
                self._kept, self._step = self._kept[::2], 2 * self._step
            if self.num_images % self._step == 0:
                picture = fit_side(image, PREVIEW_SIDE)
                self._kept.append((picture, resize(labels, picture.shape[:2], labels=True).astype(np.uint16)))
        super()._add(image, labels)

    def write(self, path: str | os.PathLike, names: ClusterNames | None = None, shares: Sequence[float] | None = None,
              communities: Sequence | None = None, background: int | None = None, model: str | None = None,
              title: str = 'What is in your pictures?') -> None:
        """Write the page.

        Args:
            path: HTML file.
            names: Names, colours and status of the clusters. None: those of the page.
            shares: (K,) share of each cluster, 0..1. None: as counted.
            communities: (K,) community of each cluster. None: those of the page.
            background: One more cluster that is background. None: there is none.
            model: Fingerprint of the model whose clusters these are, for the names file.
            title: Heading.

        Raises:
            OSError: If the file cannot be written.
            ValueError: If names, shares or communities are not as many as the clusters.
        """
        names = names or self.names
        shares = self.shares if shares is None else np.asarray(shares, float)
        self.communities = communities = self.communities if communities is None else communities
        for what, values in (('names', names.names), ('shares', shares), ('communities', communities)):
            if values is not None and len(values) != self.num_clusters:
                raise ValueError(f'A page of {self.num_clusters} clusters got {len(values)} {what}.')
        order = self.order()
        group_of, groups = names.merged()
        names = replace(names, colours=groups.colours[group_of])  # of one name: the colour of the first
        content = dict(
            model=model or '', header=HEADER, alpha=ALPHA, darkness=DARKNESS, order=order,
            clusters=[self._entry(cluster, names, shares, communities, background)
                      for cluster in range(self.num_clusters)],
            previews=[_preview(*kept) for kept in self._spread()])
        absent = self.num_clusters - len(order)
        summary = (f'{_counted(self.num_images, "image")}, {_counted(len(order), "cluster")}'
                   + (f' ({absent} more occur in none of them)' if absent else '') + '.')
        by_community = '' if communities is None else '<option value="community">by community</option>'
        alone = not content['previews']
        write_text_whole(path, _fill(
            _resource('html'), title=html.escape(title), summary=html.escape(summary), style=_resource('css'),
            communities=by_community, alone=' class="alone"' if alone else '', script=_resource('js'),
            **{'no-previews': ' hidden' if alone else ''}, data=_script_json(content)))

    def _entry(self, cluster: int, names: ClusterNames, shares: np.ndarray, communities: Sequence | None,
               background: int | None) -> dict:
        entry = dict(
            name=names.names[cluster], colour=_hex(names.colours[cluster]), hidden=bool(names.hidden[cluster]),
            background=bool(names.background[cluster]) or cluster == background,
            own=_hex(distinct_colours(self.num_clusters)[cluster]), share=float(shares[cluster]))
        if self._images[cluster]:
            patches = self.patches(cluster)
            entry.update(images=int(self._images[cluster]), examples=_data_url(_strip(patches), 82),
                         width=round(100 * len(patches) / self.examples, 1))
            if communities is not None:
                entry['community'] = str(communities[cluster])
        return entry

    def _spread(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The images to paint, spread evenly over those that were kept."""
        count = min(self.previews, len(self._kept))
        return [self._kept[index] for index in np.linspace(0, len(self._kept) - 1, count).round().astype(int)]


def _strip(patches: Sequence[np.ndarray]) -> np.ndarray:
    """Patches side by side, a narrow gap between them."""
    gap = np.full((len(patches[0]), 6, 3), 255, np.uint8)
    return np.concatenate([piece for patch in patches for piece in (patch, gap)][:-1], axis=1)


def _preview(image: np.ndarray, labels: np.ndarray) -> dict:
    """An image and its labels as (label, length) pairs of little-endian uint16, line by line."""
    flat = labels.ravel()
    starts = np.append(0, np.flatnonzero(np.diff(flat)) + 1)
    values, lengths = flat[starts], np.diff(np.append(starts, len(flat)))
    pieces = -(-lengths // 65535)
    values, last = np.repeat(values, pieces), np.cumsum(pieces) - 1
    pairs = np.full((len(values), 2), 65535, '<u2')
    pairs[:, 0] = values
    pairs[last, 1] = lengths - 65535 * (pieces - 1)
    return dict(image=_data_url(image, 82), width=image.shape[1], height=image.shape[0],
                runs=base64.b64encode(pairs.tobytes()).decode())


def _data_url(picture: np.ndarray, quality: int) -> str:
    return 'data:image/jpeg;base64,' + base64.b64encode(encode_image(picture, '.jpg', quality=quality)).decode()


def _hex(colour: Sequence[int]) -> str:
    return '#{:02x}{:02x}{:02x}'.format(*map(int, colour))


def _counted(number: int, noun: str) -> str:
    return f'{number} {noun}{"" if number == 1 else "s"}'


def _resource(suffix: str) -> str:
    return resources.files('leopart_mm.visualization').joinpath(f'cluster_page.{suffix}').read_text(encoding='utf-8')


def _fill(template: str, **values: str) -> str:
    """The template with each @name@ replaced, in one pass: what a value holds is never taken for a name."""
    pieces = template.split('@')
    return ''.join(values[piece] if index % 2 else piece for index, piece in enumerate(pieces))


def _script_json(content: dict) -> str:
    """JSON that may stand inside a script element, whatever names hold."""
    text = json.dumps(content, ensure_ascii=False, separators=(',', ':'))
    for letter in '<>&\u2028\u2029':
        text = text.replace(letter, f'\\u{ord(letter):04x}')
    return text
