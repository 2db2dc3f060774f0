"""Files about the clusters of a chain of stages: a page of examples, a drawing of their network."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leopart_mm.clustering.network import ClusterNetwork
from leopart_mm.files import write_image_whole
from leopart_mm.visualization.cluster_names import BACKGROUND, ClusterNames
from leopart_mm.visualization.cluster_sheet import ClusterSheet
from leopart_mm.visualization.community_network import community_network
from leopart_mm.visualization.layers import Layer

EXAMPLES_PAGE = 'examples.html'  # clusters.html is the page of tools/segment_folder.py, which saves names
HOW_TO_NAME = ('This page only shows. To name, merge and hide clusters, keep the model (tools/test.py --save-fitted '
               'FILE) and open the page that tools/segment_folder.py IMAGES --checkpoint FILE --out DIR --sheet '
               'writes.')


class ChainPage:
    """Collects examples of the clusters that communities are made of, else of the final labels.

    Args:
        layers: Layers of one image, for their numbers of labels.
        stages: The stages after the head, in order or by name. The last one that has a `network()` (ClusterNetwork)
            gives it; its clusters are the labels of the layer before the layer that the stage made.
        names: Names and colours of the final labels; None: numbers and the palette's colours.
    """

    def __init__(self, layers: Sequence[Layer], stages: Mapping[str, Any] | Iterable[Any] = (),
                 names: ClusterNames | None = None) -> None:
        final = layers[-1].num_labels
        names = names or ClusterNames.default(final)
        self.network = _network(stages)
        self.colours = self.titles = None
        if self.network is None:
            self.index = len(layers) - 1
            self.sheet = ClusterSheet(final, names)
            return
        clusters = len(self.network.communities)
        self.index = max(index for index, layer in enumerate(layers[:-1]) if layer.num_labels == clusters)
        if self.network.communities.max(initial=0) >= final:  # a later stage changed the labels: not these names
            names = ClusterNames.default(int(self.network.communities.max()) + 1)
        self.colours = _group_colours(names)
        default = ClusterNames.default(len(names.names)).names
        shown = [str(number) if name == default[number] else name for number, name in enumerate(names.names)]
        shown[0] = BACKGROUND if shown[0] == '0' else shown[0]  # as ClusterNetwork says
        self.titles = [f'Community {name}' if name.isdecimal() else name for name in shown]
        parts = ClusterNames.default(clusters)
        parts.colours = self.colours[self.network.communities]
        self.sheet = ClusterSheet(clusters, parts, [shown[number] for number in self.network.communities])

    def add(self, image: np.ndarray, layers: Sequence[Layer]) -> None:
        """Look for examples in an image (H, W, 3) uint8 RGB."""
        self.sheet.add(image, layers[self.index].at(image.shape[:2]))

    def write(self, folder: str | os.PathLike) -> None:
        """Write ``examples.html`` and, where there is a network, ``community_network.png``."""
        self.sheet.save_html(Path(folder) / EXAMPLES_PAGE, 'Examples of every cluster', HOW_TO_NAME)
        if self.network is not None:
            examples = {cluster: self.sheet.patches(cluster)[0] for cluster in self.sheet.order()}
            write_image_whole(Path(folder) / 'community_network.png',
                              community_network(self.network, examples, self.colours, names=self.titles))


def _network(stages: Mapping[str, Any] | Iterable[Any]) -> ClusterNetwork | None:
    values = list(stages.values() if hasattr(stages, 'values') else stages)
    found = [stage for stage in values if hasattr(stage, 'network')]
    return found[-1].network() if found else None


def _group_colours(names: ClusterNames) -> np.ndarray:
    """(K, 3) uint8 RGB: of each cluster, the colour of the first cluster of its name."""
    group_of, groups = names.merged()
    return groups.colours[group_of]
