"""Pictures: overlays, layers, sheets, HTML pages."""

from leopart_mm.palette import colour_labels, distinct_colours
from leopart_mm.visualization.cluster_names import ClusterNames
from leopart_mm.visualization.cluster_page import ClusterPage
from leopart_mm.visualization.cluster_sheet import ClusterSheet
from leopart_mm.visualization.layers import Layer, layer_row
from leopart_mm.visualization.overlay import fit_side, label_borders, overlay
from leopart_mm.visualization.panels import row, stack

__all__ = [
    'ClusterNames', 'ClusterPage', 'ClusterSheet', 'Layer', 'colour_labels', 'distinct_colours', 'fit_side',
    'label_borders', 'layer_row', 'overlay', 'row', 'stack'
]
