"""A drawing of the network of clusters and its communities."""

from collections.abc import Mapping

import numpy as np

from leopart_mm.clustering.cooccurrence import cooccurrence_edges
from leopart_mm.clustering.network import ClusterNetwork
from leopart_mm.palette import distinct_colours

MIN_PATCH = 20  # side in pixels


def community_network(network: ClusterNetwork, examples: Mapping[int, np.ndarray] | None = None,
                      colours: np.ndarray | None = None, seed: int = 0, side: int = 1400) -> np.ndarray:
    """Draw clusters as nodes and edges as lines, communities side by side.

    A node has its community's colour (as in label maps: `distinct_colours`) and an area that grows with the cluster's
    pixels (up to 15 % of all); where there is an example patch, that is the node. Clusters without an edge (background)
    are left out, but counted in the title.

    Args:
        network: The clusters and their communities.
        examples: Cluster -> (p, p, 3) uint8 RGB example patch.
        colours: (communities, 3) RGB; None: `distinct_colours`.
        seed: Seed of the layout, so that the picture is the same every time.
        side: Side of the picture in pixels.

    Returns:
        (side, side, 3) uint8 RGB.
    """
    import networkx as nx
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    communities, frequencies = network.communities, network.frequencies
    graph = nx.Graph()
    graph.add_nodes_from(int(node) for node in np.flatnonzero(communities))
    edges = cooccurrence_edges(network.matrix, network.threshold)
    graph.add_weighted_edges_from((int(i), int(j), weight) for i, j, weight in edges
                                  if i in graph and j in graph and i != j)
    places = _layout(graph, communities, seed)
    figure = Figure(figsize=(side / 100, side / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.95))
    axes.set_axis_off()
    shares = frequencies / max(frequencies.sum(), 1)
    outside = np.flatnonzero(communities == 0)
    axes.set_title(f'{graph.number_of_nodes()} clusters, {graph.number_of_edges()} edges, '
                   f'{len(set(communities[communities > 0]))} communities; {len(outside)} clusters '
                   f'({100 * shares[outside].sum():.0f} % of all pixels) without an edge are background', fontsize=11)
    number = int(communities.max(initial=0)) + 1
    colours = (colours if colours is not None and len(colours) >= number else distinct_colours(number)) / 255.
    if graph:
        nodes = list(graph)
        sizes = [60 + min(40000 * shares[node], 6000) for node in nodes]
        weights = np.array([data['weight'] for *_, data in graph.edges(data=True)])
        nx.draw_networkx_edges(graph, places, ax=axes, width=0.5 + 4 * weights / max(weights.max(initial=0), 1e-9),
                               edge_color='0.6')
        nx.draw_networkx_nodes(graph, places, nodelist=nodes, ax=axes, edgecolors='0.2', linewidths=0.5,
                               node_color=[colours[communities[node]] for node in nodes],
                               node_size=sizes)
        diameters = {node: np.sqrt(size) * figure.dpi / 72 for node, size in zip(nodes, sizes, strict=True)}
        _draw_patches(axes, places, communities, colours, examples or {}, diameters)
        nx.draw_networkx_labels(graph, places, ax=axes, font_size=7,
                                bbox=dict(facecolor='white', edgecolor='none', alpha=0.6, pad=0.5))
        axes.margins(0.08)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _layout(graph: 'object', communities: np.ndarray, seed: int) -> dict[int, np.ndarray]:
    """Communities on a sunflower spiral, the largest in the middle; their clusters by a spring layout inside."""
    import networkx as nx
    modules, sizes = np.unique(communities[communities > 0], return_counts=True)
    places: dict[int, np.ndarray] = {}
    reach = 0.
    for rank, module in enumerate(modules[np.argsort(-sizes, kind='stable')]):
        members = graph.subgraph([node for node in graph if communities[node] == module])
        radius = 0.5 * np.sqrt(len(members))
        angle = rank * np.pi * (3 - np.sqrt(5))
        reach = np.sqrt(reach**2 + radius**2) if rank else 0.
        centre = 1.9 * reach * np.array([np.cos(angle), np.sin(angle)])
        inside = nx.spring_layout(members, seed=seed, weight='weight') if len(members) > 1 else {n: np.zeros(2)
                                                                                               for n in members}
        places.update({node: centre + radius * np.asarray(place) for node, place in inside.items()})
        reach = max(reach, radius)
    return places


def _draw_patches(axes: 'object', places: Mapping[int, np.ndarray], communities: np.ndarray, colours: np.ndarray,
                  patches: Mapping[int, np.ndarray], diameters: Mapping[int, float]) -> None:
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage
    for node in sorted(places, key=lambda node: -diameters[node]):  # small ones on top
        patch = patches.get(node)
        if patch is not None:
            zoom = max(diameters[node], MIN_PATCH) / patch.shape[0]
            box = AnnotationBbox(OffsetImage(patch, zoom=zoom), places[node], frameon=True, pad=0.15,
                                 bboxprops=dict(edgecolor=colours[communities[node]], linewidth=3))
            axes.add_artist(box)
