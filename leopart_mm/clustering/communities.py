"""Communities of a network of clusters, found by Infomap (docs/methods/leopart.md §10 steps 6 and 7)."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

UNCONNECTED = ('background', 'nearest')


@dataclass
class Communities:
    """What Infomap found with one seed.

    Args:
        labels: (K,) int64, 0 for background (clusters without an edge), else the module, from 1.
        num_modules: Number of modules.
        codelength: Length of the two-level map equation in bits; smaller is better.
    """

    labels: np.ndarray
    num_modules: int
    codelength: float


def require_infomap() -> Any:
    """The `infomap` package, imported only where it is used: its licence is GPL-3.0-or-later.

    Raises:
        ImportError: If it is not installed, or older than 2.16.
    """
    try:
        import infomap
    except ImportError as error:
        raise ImportError('Community detection needs Infomap (GPL-3.0-or-later), which is not installed: '
                          "pip install 'infomap>=2.16'.") from error
    version = tuple(int(part) for part in infomap.__version__.split('.')[:2])
    if version < (2, 16):
        raise ImportError(f'Community detection needs infomap >= 2.16, but {infomap.__version__} is installed: '
                          "pip install -U 'infomap>=2.16'.")
    return infomap


def find_communities(edges: np.ndarray,
                     num_clusters: int,
                     seed: int = 0,
                     markov_time: float = 1.,
                     preferred_modules: int | None = None,
                     num_trials: int = 1) -> Communities:
    """Two-level Infomap on an undirected weighted network.

    Args:
        edges: (E, 3) rows (i, j, weight) of `cooccurrence_edges`; self edges are left out. E may be 0.
        num_clusters: K.
        seed: Seed of Infomap, at least 0.
        markov_time: Above 1 gives fewer and larger modules, below 1 more.
        preferred_modules: Number of modules that Infomap prefers; None leaves it free. A number above that of the
            connected clusters is lowered to it.
        num_trials: Number of runs from different starts, of which the shortest code is kept (1 as published).

    Raises:
        ValueError: If a setting is out of range, or an edge leads to a cluster that does not exist.
        ImportError: If Infomap is missing, see `require_infomap`.
    """
    edges = np.asarray(edges, np.float64).reshape(-1, 3)
    if markov_time <= 0 or num_trials < 1 or seed < 0 or (preferred_modules is not None and preferred_modules < 1):
        raise ValueError(f'Infomap cannot run with markov_time={markov_time}, num_trials={num_trials}, seed={seed}, '
                         f'preferred_modules={preferred_modules}: times must be positive, numbers at least 1, the seed '
                         'at least 0.')
    if len(edges) and not 0 <= edges[:, :2].min() <= edges[:, :2].max() < num_clusters:
        raise ValueError(f'An edge leads to cluster {int(edges[:, :2].max())}, but only 0..{num_clusters - 1} exist.')
    edges = edges[edges[:, 0] != edges[:, 1]]
    labels = np.zeros(num_clusters, np.int64)
    if not len(edges):
        return Communities(labels, 0, 0.)
    infomap = require_infomap()
    connected = len(np.unique(edges[:, :2]))
    if preferred_modules is not None:
        preferred_modules = min(preferred_modules, connected)
    network = infomap.Network()
    network.add_links([(int(i), int(j), float(weight)) for i, j, weight in edges])
    options = dict(two_level=True, flow_model='undirected', markov_time=markov_time, num_trials=num_trials,
                   seed=seed + 1)  # Infomap refuses 0, with which published seeds start
    if preferred_modules is not None:
        options['preferred_number_of_modules'] = preferred_modules
    result = network.run(options=infomap.Options(**options))
    nodes, modules = _modules(result)
    labels[nodes] = modules
    return Communities(labels, int(result.num_top_modules), float(result.codelength))


def _modules(result: Any) -> tuple[np.ndarray, np.ndarray]:
    """Node ids and their modules, from 1.

    Through a file: faiss and Infomap are both wrapped by SWIG and share one table of types, so that reading Infomap's
    own containers crashes the process where Infomap was imported before faiss (`import networkx` alone does that).
    """
    with tempfile.TemporaryDirectory(prefix='leopart_mm_infomap_') as folder:
        file = Path(folder) / 'modules.clu'
        result.write_clu(str(file))
        table = np.loadtxt(file, usecols=(0, 1), dtype=np.int64, ndmin=2)  # node, module, flow; # starts a comment
    return table[:, 0], table[:, 1]


def attach_unconnected(labels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Give clusters without an edge to the community of the connected cluster that they lie beside most.

    Args:
        labels: (K,) of `find_communities`, 0 without an edge.
        matrix: (K, K) directed co-occurrence; the mean of both directions decides, ties go to the lowest id.

    Returns:
        (K,); clusters that lie beside no connected cluster stay 0.

    >>> matrix = np.array([[0, .5, 0, 0], [.5, 0, .1, 0], [0, .1, 0, 0], [0, 0, 0, 0]])
    >>> attach_unconnected(np.array([1, 2, 0, 0]), matrix).tolist()
    [1, 2, 2, 0]
    """
    connected = np.flatnonzero(labels)
    attached = labels.copy()
    if not len(connected):
        return attached
    beside = (matrix + matrix.T)[:, connected]
    alone = (labels == 0) & (beside.max(axis=1) > 0)
    attached[alone] = labels[connected[beside[alone].argmax(axis=1)]]
    return attached


def all_seeds(edges: np.ndarray, matrix: np.ndarray, seeds: Sequence[int], unconnected: str = 'background',
              **options: Any) -> list[Communities]:
    """`find_communities` for every seed; `unconnected` 'background' or 'nearest' (see `attach_unconnected`).

    Raises:
        ValueError: If `find_communities` raises it, or if `unconnected` is unknown.
    """
    if unconnected not in UNCONNECTED:
        raise ValueError(f'unconnected={unconnected!r} is unknown; there are: {", ".join(UNCONNECTED)}.')
    found = [find_communities(edges, len(matrix), seed, **options) for seed in seeds]
    if unconnected == 'nearest':
        for communities in found:
            communities.labels = attach_unconnected(communities.labels, matrix)
    return found
