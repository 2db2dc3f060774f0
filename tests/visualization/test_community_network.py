"""The picture of communities: boxes that do not overlap, clusters in them, small communities last."""

import numpy as np

from leopart_mm.clustering.network import ClusterNetwork
from leopart_mm.palette import distinct_colours
from leopart_mm.visualization.community_network import _box, _shape, _shelves, community_network


def network(communities, seed=0):
    """Clusters of one community touch, all of them."""
    communities = np.asarray(communities)
    matrix = np.where(communities[:, None] == communities[None], 0.3, 0.) * (communities > 0)
    frequencies = np.random.default_rng(seed).integers(1, 1000, len(communities))
    return ClusterNetwork(matrix, communities, frequencies, 0.1)


def marks(communities):
    """An example of each cluster in a colour of its own."""
    return {cluster: np.full((40, 40, 3), (cluster, 200, 77), np.uint8) for cluster in range(len(communities))}


def test_every_example_is_whole_and_nothing_overlaps():
    communities = [0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 0, 4, 5]
    picture = community_network(network(communities), marks(communities), side=700)
    assert picture.dtype == np.uint8
    for cluster, community in enumerate(communities):
        rows, columns = (picture == (cluster, 200, 77)).all(-1).nonzero()
        if community == 0:
            assert len(rows) == 0
            continue
        side = np.ptp(rows) + 1
        assert side >= 70
        assert np.ptp(columns) + 1 == side
        assert len(rows) == side * side  # a full square: nothing lies on it
    assert np.array_equal(picture, community_network(network(communities), marks(communities), side=700))


def test_boxes_do_not_overlap_and_fit():
    communities = np.repeat(np.arange(1, 30), np.arange(1, 30) % 9 + 1)
    shares = np.full(len(communities), 1 / len(communities))
    boxes = [_box(int(community), communities, shares, [], 0) for community in np.unique(communities)]
    for box in boxes:
        assert len(set(box.places.values())) == (communities == box.community).sum()
        assert all(row < box.rows and column < box.columns for row, column in box.places.values())
    places, bottom, width = _shelves(boxes, 118, 50, 1400)
    taken = np.zeros((bottom, width), int)
    for box, (y, x) in places:
        height, breadth = _shape(box, 118)
        taken[y:y + height, x:x + breadth] += 1
        assert y + height <= bottom
        assert x + breadth <= width
    assert taken.max() == 1
    assert width <= 1400


def test_small_communities_come_last_in_colours_of_their_own():
    communities = [1, 2, 2, 3, 3, 3]
    picture = community_network(network(communities), marks(communities))
    tops = {community: (picture == distinct_colours(4)[community]).all(-1).any(1).argmax() for community in (1, 2, 3)}
    assert tops[3] < min(tops[1], tops[2])
    red = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    assert (community_network(network(communities), colours=red) == (255, 0, 0)).all(-1).sum() > 5000


def test_no_community_and_many_clusters():
    assert community_network(network([0, 0])).shape[2] == 3
    many = community_network(network(np.arange(500) // 4 + 1))
    assert many.shape[1] <= 1400
    assert many.shape[0] < 8000
