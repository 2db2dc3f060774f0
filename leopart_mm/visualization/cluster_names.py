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
from leopart_mm.visualization.overlay import darken, overlay, resize

BACKGROUND = 'background'
FLAGS = ('background', 'hidden')
BARE_COLOUR = re.compile(r'^[^#\n]*?colou?r["\']?:\s*(#\w+)', re.MULTILINE)
HEADER = '''# Names and colours of clusters. Edit name and colour, leave the numbers.
# Clusters with one name become one in pictures and legends, with the colour of the first of them.
# Lines may be removed: such clusters keep their numbers.
# background: [numbers] are darkened in pictures, hidden: [numbers] are left unpainted; exports leave out both.
'''
# What YAML or lines of text do not take as it is, though JSON does.
ESCAPED = re.compile('[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]')


@dataclass
class ClusterNames:
    """A name and a colour of each of K clusters, and which of them are background or hidden.

    Args:
        names: K names.
        colours: (K, 3) uint8 RGB.
        background: (K,) bool, clusters that pictures show darkened. None: there are none.
        hidden: (K,) bool, clusters that pictures leave unpainted. None: there are none.
    """

    names: list[str]
    colours: np.ndarray
    background: np.ndarray | None = None
    hidden: np.ndarray | None = None

    def __post_init__(self) -> None:
        for flag in FLAGS:
            value = getattr(self, flag)
            setattr(self, flag, np.zeros(len(self.names), bool) if value is None else np.array(value, bool))

    @classmethod
    def default(cls, num_clusters: int, background: int | None = None) -> 'ClusterNames':
        """'cluster 0', 'cluster 1', ... in the palette's colours; one of them may be called and marked background."""
        result = cls([f'cluster {index}' for index in range(num_clusters)], distinct_colours(num_clusters).copy())
        if background is not None:
            result.mark_background(background)
        return result

    def mark_background(self, cluster: int) -> None:
        """Mark a cluster as background; one that has its number for a name is then called so."""
        self.background[cluster] = True
        if self.names[cluster] == f'cluster {cluster}':
            self.names[cluster] = BACKGROUND

    @property
    def shown(self) -> np.ndarray:
        """(K,) bool: clusters that are neither background nor hidden."""
        return ~(self.background | self.hidden)

    @classmethod
    def load(cls, path: str | os.PathLike, num_clusters: int) -> 'ClusterNames':
        """Read a naming file, YAML or JSON (by suffix).

        Its entries are ``clusters: {0: {name: wheel, colour: '#ff8800'}, 1: sky, ...}``: a name alone, or name and
        colour ('#rrggbb' or [r, g, b]), each of which may be left out. Keys may also be words such as 'cluster 0', and
        a list names the clusters from 0 on. All is read as it is written: ``yes`` and ``1`` are names. Beside
        ``clusters:``, ``background: [0]`` and ``hidden: [3, 7]`` list numbers; or an entry has ``hidden: true``.

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
            result._set(_number(key, num_clusters, place), entry, f'{place}, cluster {key}')
        for flag in FLAGS if isinstance(content, dict) else ():
            listed = content.get(flag)
            listed = [] if listed in (None, '', 'null', '~') else listed if isinstance(listed, list) else [listed]
            for key in listed:
                getattr(result, flag)[_number(key, num_clusters, f'{place}, {flag}:')] = True
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
        unknown = set(entry) - {'name', 'colour', 'color', 'share', *FLAGS}
        if unknown:
            raise ValueError(f'{place}: unknown {", ".join(map(str, unknown))}; an entry has name and colour.')
        for flag in FLAGS:
            if flag in entry:
                getattr(self, flag)[index] = _parse_flag(entry[flag], f'{place}: {flag}')
        if entry.get('name') is not None:
            name = str(entry['name']).encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')
            self.names[index] = name.strip() or self.names[index]
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
        flags = {flag: np.flatnonzero(getattr(self, flag)).tolist() for flag in FLAGS if getattr(self, flag).any()}
        if Path(path).suffix == '.json':
            content = dict({} if model is None else dict(model=model), **flags, clusters=entries)
            write_text_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + '\n')
            return
        head = [] if model is None else [f'model: "{model}"  # the model whose clusters these are']
        lines = [f'  {index}: {_in_one_line(entry)}' for index, entry in entries.items()]
        write_text_whole(path, HEADER + '\n'.join(
            [*head, *(f'{flag}: {numbers}' for flag, numbers in flags.items()), 'clusters:', *lines]) + '\n')

    def overlay(self, image: np.ndarray, labels: np.ndarray, alpha: float = 0.6, ignore: int | None = None,
                missing: np.ndarray | None = None) -> np.ndarray:
        """`visualization.overlay` of a map of clusters: those of one name as one, the background darkened.

        Args:
            image: (H, W, 3) uint8 RGB.
            labels: (h, w) integers, 0..K-1 where they are not missing.
            alpha: Share of the cluster's colour, 0..1.
            ignore: One more cluster that is background. None: there is none.
            missing: (h, w) bool, pixels without a label. None: there are none. They stay as they are, as hidden
                clusters do.
        """
        names = self
        if ignore is not None:
            names = ClusterNames(self.names, self.colours, self.background, self.hidden)
            names.background[ignore] = True
        group_of, groups = names.merged()
        unpainted, background = len(groups.names), groups.background & ~groups.hidden
        painted_as = np.where(groups.hidden, unpainted, np.arange(unpainted))[group_of]
        if missing is not None:
            labels = np.where(missing, 0, labels)
        painted_as = painted_as[labels]
        if missing is not None:
            painted_as[missing] = unpainted
        if background.any():
            dark = resize(np.append(background, False)[painted_as], image.shape[:2], labels=True)
            image = np.where(dark[..., None], darken(image), image)
            painted_as = np.where(np.append(background, False)[painted_as], unpainted, painted_as)
        return overlay(image, painted_as, groups.colours, alpha, ignore=unpainted)

    def merged(self) -> tuple[np.ndarray, 'ClusterNames']:
        """Clusters of one name as one group; of them, those that are background or hidden make a group of their own.

        Returns:
            (K,) int64 group of each cluster, groups numbered in order of their first cluster; the groups' names,
            colours, and whether they are background or hidden.
        """
        keys = list(zip(self.names, self.background.tolist(), self.hidden.tolist(), strict=True))
        order = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        group_of = np.array([order[key] for key in keys], np.int64)
        firsts = [keys.index(key) for key in order]
        return group_of, ClusterNames([key[0] for key in order], self.colours[firsts], self.background[firsts],
                                      self.hidden[firsts])


def _in_one_line(entry: dict) -> str:
    """An entry as JSON that YAML reads as well, whatever characters names have."""
    return ESCAPED.sub(lambda found: f'\\u{ord(found[0]):04x}', json.dumps(entry, ensure_ascii=False))


def _number(key: Any, num_clusters: int, place: str) -> int:
    """The cluster that a key such as 3 or 'cluster 3' means."""
    number = str(key).removeprefix('cluster ').strip()
    if number.isdecimal() and int(number) < num_clusters:
        return int(number)
    shown = number if number.isdecimal() else repr(key)
    raise ValueError(f'{place} names cluster {shown}; the model has the clusters 0 to {num_clusters - 1}. '
                     'If the file was written for another model, give another file (--names), or move it '
                     'away to get a new one; else remove the line.')


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


def _parse_flag(value: Any, place: str) -> bool:
    word = str(value).strip().lower()
    if word in ('true', 'yes', '1', 'on'):
        return True
    if word in ('false', 'no', '0', 'off', '', 'none', 'null'):
        return False
    raise ValueError(f'{place} must be true or false, not {value!r}.')
