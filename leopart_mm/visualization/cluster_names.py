"""Names and colours that a person gives to clusters."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from leopart_mm.files import write_text_whole
from leopart_mm.palette import distinct_colours
from leopart_mm.visualization.overlay import overlay

HEADER = '''# Names and colours of clusters. Edit name and colour, leave the numbers.
# Clusters with one name become one in pictures and legends, with the colour of the first of them.
# Lines may be removed: such clusters keep their numbers.
'''


@dataclass
class ClusterNames:
    """A name and a colour for each of K clusters.

    Args:
        names: K names.
        colours: (K, 3) uint8 RGB.
    """

    names: list[str]
    colours: np.ndarray

    @classmethod
    def default(cls, num_clusters: int) -> 'ClusterNames':
        """'cluster 0', 'cluster 1', ... in the palette's colours."""
        return cls([f'cluster {index}' for index in range(num_clusters)], distinct_colours(num_clusters).copy())

    @classmethod
    def load(cls, path: str | os.PathLike, num_clusters: int) -> 'ClusterNames':
        """Read a naming file, YAML or JSON (by suffix).

        Its entries are ``clusters: {0: {name: wheel, colour: '#ff8800'}, 1: sky, ...}``: a name alone, or name and
        colour ('#rrggbb' or [r, g, b]), each of which may be left out. Keys may also be words such as 'cluster 0'.

        Raises:
            FileNotFoundError: No such file.
            ValueError: The file is no naming file, names a cluster that does not exist, or has a wrong colour.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f'There is no naming file {path}.')
        try:
            content = json.loads(path.read_text()) if path.suffix == '.json' else yaml.safe_load(path.read_text())
        except (yaml.YAMLError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f'The naming file {path} cannot be read: {error}') from error
        entries = content.get('clusters') if isinstance(content, dict) else None
        if not isinstance(entries, dict):
            raise ValueError(f'The naming file {path} has no "clusters:" with one entry a cluster.')
        result = cls.default(num_clusters)
        for key, entry in entries.items():
            number = str(key).removeprefix('cluster ').strip()
            if not number.isdigit() or int(number) >= num_clusters:
                raise ValueError(f'The naming file {path} names cluster {key!r}; the model has the clusters 0 to '
                                 f'{num_clusters - 1}.')
            result._set(int(number), entry, f'The naming file {path}, cluster {key}')
        return result

    def _set(self, index: int, entry: Any, place: str) -> None:
        entry = entry if isinstance(entry, dict) else dict(name=entry)
        unknown = set(entry) - {'name', 'colour', 'color', 'share'}
        if unknown:
            raise ValueError(f'{place}: unknown {", ".join(map(str, unknown))}; an entry has name and colour.')
        if entry.get('name') is not None:
            self.names[index] = str(entry['name']).strip() or self.names[index]
        colour = entry.get('colour', entry.get('color'))
        if colour is not None:
            self.colours[index] = _parse_colour(colour, place)

    def save(self, path: str | os.PathLike, shares: Sequence[float] | None = None) -> None:
        """Write the naming file, YAML or JSON (by suffix), for editing; `shares` (K,) tells how common each is."""
        entries = {}
        for index, (name, colour) in enumerate(zip(self.names, self.colours.tolist(), strict=True)):
            entries[index] = dict(name=name, colour='#{:02x}{:02x}{:02x}'.format(*colour))
            if shares is not None:
                entries[index]['share'] = f'{100 * shares[index]:.2f} %'
        if Path(path).suffix == '.json':
            write_text_whole(path, json.dumps(dict(clusters=entries), indent=1, ensure_ascii=False) + '\n')
            return
        lines = [f'  {index}: {json.dumps(entry, ensure_ascii=False)}' for index, entry in entries.items()]
        write_text_whole(path, '\n'.join([HEADER + 'clusters:', *lines]) + '\n')

    def overlay(self, image: np.ndarray, labels: np.ndarray, alpha: float = 0.6,
                ignore: int | None = None) -> np.ndarray:
        """`visualization.overlay` of a map of clusters, those of one name as one; cluster `ignore` stays unpainted."""
        group_of, groups = self.merged()
        return overlay(image, group_of[labels], groups.colours, alpha,
                       ignore=None if ignore is None else group_of[ignore])

    def merged(self) -> tuple[np.ndarray, 'ClusterNames']:
        """Clusters of one name as one group.

        Returns:
            (K,) int64 group of each cluster, groups numbered in order of their first cluster; names and colours of the
            groups.
        """
        order = {name: number for number, name in enumerate(dict.fromkeys(self.names))}
        group_of = np.array([order[name] for name in self.names], np.int64)
        firsts = [self.names.index(name) for name in order]
        return group_of, ClusterNames(list(order), self.colours[firsts])


def _parse_colour(colour: Any, place: str) -> list[int]:
    if isinstance(colour, str) and re.fullmatch('#[0-9a-fA-F]{6}', colour):
        return [int(colour[start:start + 2], 16) for start in (1, 3, 5)]
    if isinstance(colour, list) and len(colour) == 3 and all(isinstance(c, int) and 0 <= c <= 255 for c in colour):
        return colour
    raise ValueError(f"{place}: colour {colour!r} is neither '#rrggbb' (in quotes: # begins a comment) nor [r, g, b] "
                     'with numbers from 0 to 255.')
