"""Clusters as the categories of other tools: those of one name are one, hidden ones and background are none."""

from dataclasses import dataclass

import numpy as np

from leopart_mm.visualization.cluster_names import ClusterNames

NONE = -1


@dataclass(frozen=True)
class Category:
    """Clusters of one name.

    Args:
        name: The name.
        clusters: Their numbers, ascending.
        colour: (red, green, blue), 0..255.
    """

    name: str
    clusters: tuple[int, ...]
    colour: tuple[int, int, int]

    @property
    def first(self) -> int:
        """The cluster that stands for all: their label in merged maps."""
        return self.clusters[0]

    @property
    def hex_colour(self) -> str:
        """#rrggbb."""
        return '#{:02x}{:02x}{:02x}'.format(*self.colour)


@dataclass(frozen=True)
class Categories:
    """What is exported of K clusters.

    Args:
        entries: The categories, in the order of their first clusters.
        lookup: (2^16,) int32: the category of every label, its place in `entries`; -1: of none.
    """

    entries: tuple[Category, ...]
    lookup: np.ndarray

    @classmethod
    def of(cls, names: ClusterNames, background: bool = False) -> 'Categories':
        """The categories of a naming file.

        Args:
            names: Names, colours and marks.
            background: Keep clusters that are marked as background.

        Raises:
            ValueError: If no cluster is left.
        """
        group_of, groups = names.merged()
        kept = ~names.hidden if background else names.shown
        entries, lookup = [], np.full(2**16, NONE, np.int32)
        for group, (name, colour) in enumerate(zip(groups.names, groups.colours.tolist(), strict=True)):
            clusters = np.flatnonzero((group_of == group) & kept)
            if len(clusters):
                lookup[clusters] = len(entries)
                entries.append(Category(name, tuple(clusters.tolist()), tuple(colour)))
        if not entries:
            raise ValueError('The naming file hides every cluster, or calls it background: nothing is left to export.')
        return cls(tuple(entries), lookup)

    def __len__(self) -> int:
        return len(self.entries)
