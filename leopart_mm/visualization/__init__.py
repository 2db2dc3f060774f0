"""Pictures: colours for clusters, overlays, sheets, the report."""

from leopart_mm.palette import colour_labels, distinct_colours
from leopart_mm.visualization.cluster_names import ClusterNames
from leopart_mm.visualization.cluster_sheet import ClusterSheet
from leopart_mm.visualization.overlay import fit_side, label_borders, overlay
from leopart_mm.visualization.panels import prediction_row, row, stack

__all__ = [
    'ClusterNames', 'ClusterSheet', 'colour_labels', 'distinct_colours', 'fit_side', 'label_borders', 'overlay',
    'prediction_row', 'row', 'stack'
]
