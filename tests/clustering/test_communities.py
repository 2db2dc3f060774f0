import builtins
import itertools
import subprocess
import sys

import networkx as nx
import numpy as np
import pytest

from leopart_mm.clustering.communities import all_seeds, attach_unconnected, find_communities, require_infomap


def cliques(sizes, weight=0.5, bridge=0.01):
    """Edges of cliques of these sizes, each joined to the next by a weak edge."""
    edges, start = [], 0
    for size in sizes:
        edges += [(i, j, weight) for i, j in itertools.combinations(range(start, start + size), 2)]
        start += size
    ends = np.cumsum(sizes)
    return np.array(edges + [(end - 1, end, bridge) for end in ends[:-1]])


def partition(labels):
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist()) - {0}}


def test_cliques_are_communities_as_louvain_finds_them():
    edges = cliques([5, 4, 6])
    found = find_communities(edges, 17)
    graph = nx.Graph()
    graph.add_weighted_edges_from((int(i), int(j), weight) for i, j, weight in edges)
    louvain = {frozenset(members) for members in nx.community.louvain_communities(graph, seed=0)}
    assert partition(found.labels) == louvain == {frozenset(range(5)), frozenset(range(5, 9)), frozenset(range(9, 15))}
    assert found.num_modules == 3
    assert found.labels[15:].tolist() == [0, 0]  # no edge: background
    assert sorted(set(found.labels.tolist())) == [0, 1, 2, 3]  # modules count from 1


def test_more_than_256_clusters():
    found = find_communities(cliques([4] * 100), 500)
    assert found.num_modules == 100
    assert len(partition(found.labels)) == 100
    assert not found.labels[400:].any()


def test_no_edge_is_background_only():
    found = find_communities(np.zeros((0, 3)), 4)
    assert found.labels.tolist() == [0, 0, 0, 0]
    assert found.num_modules == 0


def test_self_edges_connect_nothing():
    assert find_communities(np.array([[1, 1, 0.9], [2, 2, 0.9]]), 3).labels.tolist() == [0, 0, 0]


def test_one_community():
    found = find_communities(cliques([6]), 6)
    assert found.labels.tolist() == [1] * 6
    assert found.num_modules == 1


def test_more_modules_preferred_than_clusters():
    found = find_communities(cliques([3, 3]), 8, preferred_modules=500)
    assert 2 <= found.num_modules <= 6
    assert (found.labels[:6] > 0).all()


def test_preferred_number_and_markov_time_change_the_modules():
    edges = cliques([4] * 8, bridge=0.2)
    numbers = {preferred: find_communities(edges, 32, preferred_modules=preferred).num_modules for preferred in (4, 8)}
    assert numbers[8] == 8
    assert numbers[4] < 8
    assert find_communities(edges, 32, markov_time=6.).num_modules < find_communities(edges, 32).num_modules


def test_same_seed_same_communities():
    generator = np.random.default_rng(0)
    weights = generator.random((40, 40))
    edges = np.array([(i, j, weights[i, j]) for i, j in itertools.combinations(range(40), 2) if weights[i, j] > 0.6])
    once, again = (all_seeds(edges, weights, range(4), preferred_modules=8) for _ in range(2))
    assert [one.labels.tolist() for one in once] == [one.labels.tolist() for one in again]


def test_unconnected_clusters_join_the_nearest_community():
    labels = np.array([1, 2, 0, 0, 0])
    matrix = np.zeros((5, 5))
    matrix[2, 1], matrix[0, 2] = 0.05, 0.02  # 2 lies beside 1 more than beside 0
    matrix[3, 4] = matrix[4, 3] = 0.08  # 3 and 4 know only each other
    assert attach_unconnected(labels, matrix).tolist() == [1, 2, 2, 0, 0]
    assert attach_unconnected(np.zeros(5, np.int64), matrix).tolist() == [0] * 5
    attached = all_seeds(cliques([3, 3]), np.pad(np.ones((6, 6)), (0, 1)) + 0.01, [0], 'nearest')
    assert (attached[0].labels > 0).all()


@pytest.mark.parametrize('options', [dict(markov_time=0.), dict(num_trials=0), dict(seed=-1),
                                     dict(preferred_modules=0)])
def test_impossible_settings_are_refused(options):
    with pytest.raises(ValueError, match='Infomap cannot run'):
        find_communities(cliques([3]), 3, **options)


def test_edges_to_unknown_clusters_are_refused():
    with pytest.raises(ValueError, match='leads to cluster 2'):
        find_communities(cliques([3]), 2)


def test_unknown_rule_for_unconnected_clusters():
    with pytest.raises(ValueError, match='there are: background, nearest'):
        all_seeds(cliques([3]), np.ones((3, 3)), [0], 'somewhere')


def test_missing_infomap_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == 'infomap':
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', without)
    with pytest.raises(ImportError, match=r'pip install .infomap'):
        require_infomap()


@pytest.mark.slow
@pytest.mark.parametrize('first', ['infomap', 'faiss', 'networkx'])
def test_any_order_of_imports(first):
    """SWIG's table of types, which faiss and Infomap share, must not crash the process."""
    code = f'import {first}' + """
import torch
import numpy as np
from leopart_mm.clustering.communities import find_communities
from leopart_mm.clustering.kmeans import kmeans
edges = np.array([(0, 1, .5), (2, 3, .5)])
for _ in range(3):
    assert find_communities(edges, 4).labels.tolist() == [1, 1, 2, 2]
    kmeans(torch.randn(50, 4), 3)
"""
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
