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

from leopart_mm.files import printable, write_text_whole
from leopart_mm.palette import distinct_colours
from leopart_mm.visualization.overlay import overlay

BARE_COLOUR = re.compile(r'^[^#\n]*?colou?r["\']?:\s*(#\w+)', re.MULTILINE)
HEADER = '''# Names and colours of clusters. Edit name and colour, leave the numbers.
# Clusters with one name become one in pictures and legends, with the colour of the first of them.
# Lines may be removed: such clusters keep their numbers.
'''


@dataclass
class ClusterNames:
    """A name and a colour of each of K clusters.

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
        colour ('#rrggbb' or [r, g, b]), each of which may be left out. Keys may also be words such as 'cluster 0', and
        a list names the clusters from 0 on. All is read as it is written: ``yes`` and ``1`` are names.

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If the file is no naming file, names a cluster that does not exist, or has a wrong colour.
        """
        content = _read(path)
        place = f'The naming file {printable(path)}'
        entries = content.get('clusters') if isinstance(content, dict) else content
        if isinstance(entries, list):
            entries = dict(enumerate(entries))
        if not isinstance(entries, dict):
            raise ValueError(f'{place} has no "clusters:" with one entry per cluster, such as "0: sky".')
        result = cls.default(num_clusters)
        for key, entry in entries.items():
            number = str(key).removeprefix('cluster ').strip()
            if not number.isdecimal() or int(number) >= num_clusters:
                shown = number if number.isdecimal() else repr(key)
                raise ValueError(f'{place} names cluster {shown}; the model has the clusters 0 to {num_clusters - 1}. '
                                 'If the file was written for another model, give another file (--names), or move it '
                                 'away to get a new one; else remove the line.')
            result._set(int(number), entry, f'{place}, cluster {key}')
        return result

    @staticmethod
    def model_of(path: str | os.PathLike) -> str | None:
        """The fingerprint of the model whose clusters a naming file names; None if it says nothing of it.

        Raises:
            FileNotFoundError, ValueError: If `load` raises it.
        """
        content = _read(path)
        model = content.get('model') if isinstance(content, dict) else None
        return model if isinstance(model, str) and model else None

    def _set(self, index: int, entry: Any, place: str) -> None:
        entry = entry if isinstance(entry, dict) else dict(name=entry)
        unknown = set(entry) - {'name', 'colour', 'color', 'share'}
        if unknown:
            raise ValueError(f'{place}: unknown {", ".join(map(str, unknown))}; an entry has name and colour.')
        if entry.get('name') is not None:
            self.names[index] = str(entry['name']).strip() or self.names[index]
        colour = entry.get('colour', entry.get('color'))
        if colour not in (None, ''):
            self.colours[index] = _parse_colour(colour, place)

    def save(self, path: str | os.PathLike, shares: Sequence[float] | None = None, model: str | None = None) -> None:
        """Write the naming file for editing.

        Args:
            path: YAML, or JSON by its suffix.
            shares: (K,) share of each cluster, 0..1, noted beside it.
            model: Fingerprint of the model whose clusters these are, see `model_of`.

        Raises:
            OSError: If the file cannot be written.
        """
        entries = {}
        for index, (name, colour) in enumerate(zip(self.names, self.colours.tolist(), strict=True)):
            entries[index] = dict(name=name, colour='#{:02x}{:02x}{:02x}'.format(*colour))
            if shares is not None:
                entries[index]['share'] = f'{100 * shares[index]:.2f} %'
        if Path(path).suffix == '.json':
            content = dict(clusters=entries) if model is None else dict(model=model, clusters=entries)
            write_text_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + '\n')
            return
        lines = [f'  {index}: {json.dumps(entry, ensure_ascii=False)}' for index, entry in entries.items()]
        head = HEADER + ('' if model is None else f'model: "{model}"  # the model whose clusters these are\n')
        write_text_whole(path, '\n'.join([head + 'clusters:', *lines]) + '\n')

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


def _read(path: str | os.PathLike) -> Any:
    """The content of a naming file, all values as text."""
    path = Path(path).expanduser()
    place = f'The naming file {printable(path)}'
    if not path.is_file():
        raise FileNotFoundError(f'There is no naming file {printable(path)}.')
    try:
        text = path.read_text(encoding='utf-8-sig')
        if path.suffix == '.json':
            return json.loads(text, parse_int=str, parse_float=str)
        bare = BARE_COLOUR.search(text)
        if bare is not None:
            line = text.count('\n', 0, bare.start()) + 1
            raise ValueError(f'{place}, line {line}: write the colour in quotes, "{bare[1]}": without them # begins a '
                             'comment.')
        return yaml.load(text, yaml.BaseLoader)  # every value as text: yes, no and 1 are names
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise ValueError(f'{place} cannot be read: {error}') from error
    except UnicodeDecodeError as error:
        raise ValueError(f'{place} cannot be read: it is not stored as UTF-8 ({error.reason}).') from error


def _parse_colour(colour: Any, place: str) -> list[int]:
    if isinstance(colour, str) and re.fullmatch('#[0-9a-fA-F]{6}', colour):
        return [int(colour[start:start + 2], 16) for start in (1, 3, 5)]
    if isinstance(colour, list) and len(colour) == 3 and all(
            str(part).isdecimal() and int(part) <= 255 for part in colour):
        return [int(part) for part in colour]
    raise ValueError(f"{place}: colour {colour!r} is neither '#rrggbb' nor [r, g, b] with numbers from 0 to 255.")
