"""A picture of the communities of clusters: what lies together in the images, box by box."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from leopart_mm.clustering.cooccurrence import cooccurrence_edges
from leopart_mm.clustering.network import ClusterNetwork
from leopart_mm.palette import distinct_colours
from leopart_mm.visualization.overlay import resize
from leopart_mm.visualization.panels import fitting_text, text_width, write_text

SMALL = 2  # communities of so few clusters come last, side by side
MANY = 150  # clusters, from which on thumbnails are half as large
GAP, PAD, TITLE = 22, 16, 30
GREY, LINE = (110, 110, 110), (190, 190, 190)


@dataclass
class _Box:
    """A community: its clusters on a grid of cells."""

    community: int
    share: float
    places: dict[int, tuple[int, int]]  # cluster -> (row, column)
    edges: list[tuple[int, int, float]]
    rows: int
    columns: int


def community_network(network: ClusterNetwork, examples: Mapping[int, np.ndarray] | None = None,
                      colours: np.ndarray | None = None, seed: int = 0, side: int = 1400,
                      names: Sequence[str] | None = None) -> np.ndarray:
    """Draw every community as a box with an example of each of its clusters; lines join clusters that often touch.

    The communities with most clusters come first; those of one or two clusters stand together at the end. A box has its
    community's colour (as in label maps: `distinct_colours`). The more pixels a cluster has, the larger its example.
    Clusters without an edge (background) are left out, but counted. Lines between communities are only counted too.

    Args:
        network: The clusters and their communities.
        examples: Cluster -> (p, p, 3) uint8 RGB example patch; without one, a square of the community's colour.
        colours: (communities, 3) RGB; None: `distinct_colours`.
        seed: Seed of the layout, so that the picture is the same every time.
        side: Most that the width of the picture may be, in pixels; more only where a community needs it.
        names: (communities,) what the boxes are called. None: by their numbers.

    Returns:
        (height, width, 3) uint8 RGB, as high as needed.
    """
    communities, frequencies = network.communities, network.frequencies
    number = int(communities.max(initial=0)) + 1
    colours = colours if colours is not None and len(colours) >= number else distinct_colours(number)
    shares = frequencies / max(frequencies.sum(), 1)
    edges = [(int(i), int(j), float(weight)) for i, j, weight in cooccurrence_edges(network.matrix, network.threshold)]
    edges = [(i, j, weight) for i, j, weight in edges if i != j and communities[i] and communities[j]]
    within = [edge for edge in edges if communities[edge[0]] == communities[edge[1]]]
    boxes = [_box(int(community), communities, shares, within, seed) for community in np.unique(communities)
             if community]
    cell = 62 if len(communities) > MANY else 118
    outside = np.flatnonzero(communities == 0)
    placed = sum(len(box.places) for box in boxes)
    heads = [f'{placed} clusters in {len(boxes)} communities. A line joins clusters of a community that often touch; '
             f'{len(edges) - len(within)} more such pairs lie in different communities.']
    if len(outside):
        heads.append(f'{len(outside)} clusters ({100 * shares[outside].sum():.0f} % of all pixels) touch none often: '
                     'they are background.')
    boxes.sort(key=lambda box: (-box.rows, -box.share, box.community))
    large = [box for box in boxes if len(box.places) > SMALL]
    small = [box for box in boxes if len(box.places) <= SMALL]
    places, top, width = [], GAP + 24 * len(heads), GAP + max(text_width(text, 16) for text in heads) + GAP
    for group in (large, small):
        if group is small and small and large:
            heads.append('Small communities')
            top += 34
            heading = top - 10
        found, top, needed = _shelves(group, cell, top, side)
        places += found
        width = max(width, needed)
    picture = np.full((top, width, 3), 255, np.uint8)
    for line, text in enumerate(heads):
        last = text == 'Small communities'
        write_text(picture, text, (GAP, heading if last else GAP + 4 + 24 * line), 16)
    thickest = max((weight for *_, weight in within), default=1.)
    for box, place in places:
        name = f'Community {box.community}' if names is None else names[box.community]
        _draw(picture, box, place, cell, name, colours[box.community], shares, examples or {}, thickest)
    return picture


def _box(community: int, communities: np.ndarray, shares: np.ndarray, edges: Sequence[tuple[int, int, float]],
         seed: int) -> _Box:
    """The clusters of a community on a grid, clusters with an edge near each other."""
    import networkx as nx
    graph = nx.Graph()
    graph.add_nodes_from(np.flatnonzero(communities == community).tolist())
    graph.add_weighted_edges_from(edge for edge in edges if edge[0] in graph)
    count = len(graph)
    columns = count if count <= 3 else int(np.ceil(np.sqrt(1.4 * count)))
    rows = -(-count // columns)
    cells = [(row, column) for row in range(rows) for column in range(columns)]
    free = nx.spring_layout(graph, seed=seed, weight='weight') if count > 1 else {node: np.zeros(2) for node in graph}
    nodes = list(graph)
    points = np.array([free[node] for node in nodes])
    points = (points - points.min(0)) / np.maximum(np.ptp(points, axis=0), 1e-9) * (columns - 1, rows - 1)
    distances = ((points[:, None] - np.array([cell[::-1] for cell in cells])[None])**2).sum(-1)
    taken = linear_sum_assignment(distances)[1]
    places = {node: cells[index] for node, index in zip(nodes, taken, strict=True)}
    return _Box(community, float(shares[nodes].sum()), places, [(i, j, data['weight'])
                                                                for i, j, data in graph.edges(data=True)],
                rows, columns)


def _shape(box: _Box, cell: int) -> tuple[int, int]:
    """(height, width) of a box in pixels, with room for its title."""
    return TITLE + box.rows * (cell + 14) + PAD, max(box.columns * cell + 2 * PAD, 150)


def _shelves(boxes: Sequence[_Box], cell: int, top: int,
             side: int) -> tuple[list[tuple[_Box, tuple[int, int]]], int, int]:
    """Boxes with their places (y, x), line by line; where the next line begins; the width that was needed."""
    places, left, height, needed = [], GAP, 0, 0
    for box in boxes:
        box_height, box_width = _shape(box, cell)
        if left > GAP and left + box_width + GAP > side:
            top, left, height = top + height + GAP, GAP, 0
        places.append((box, (top, left)))
        left, height = left + box_width + GAP, max(height, box_height)
        needed = max(needed, left)
    return places, top + (height + GAP if boxes else 0), needed


def _draw(picture: np.ndarray, box: _Box, place: tuple[int, int], cell: int, name: str, colour: Sequence[int],
          shares: np.ndarray, examples: Mapping[int, np.ndarray], thickest: float) -> None:
    height, width = _shape(box, cell)
    y, x = place
    colour = tuple(int(part) for part in colour)
    picture[y:y + height, x:x + width] = np.rint(0.12 * np.asarray(colour) + 0.88 * 255)
    cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), colour, 4)
    share = f'{100 * box.share:.1f} %'
    write_text(picture, f'{fitting_text(name, width - 80, 14)}  {share}', (x + PAD, y + 23), 14)
    indent = (width - box.columns * cell) // 2
    centres = {cluster: (x + indent + column * cell + cell // 2, y + TITLE + row * (cell + 14) + cell // 2)
               for cluster, (row, column) in box.places.items()}
    for one, other, weight in box.edges:
        cv2.line(picture, centres[one], centres[other], LINE, 2 + round(6 * weight / thickest), cv2.LINE_AA)
    for cluster, (middle, level) in centres.items():
        size = round(cell * np.clip(0.55 + 1.3 * np.sqrt(shares[cluster]), 0.6, 0.82))
        patch = examples.get(cluster)
        patch = np.full((size, size, 3), colour, np.uint8) if patch is None else resize(patch, (size, size))
        top, left = level - size // 2, middle - size // 2
        picture[top - 2:top + size + 2, left - 2:left + size + 2] = 255
        picture[top:top + size, left:left + size] = patch
        if cell >= 100:
            write_text(picture, f'{cluster} · {100 * shares[cluster]:.1f} %', (middle - 26, top + size + 15), 11, GREY)
