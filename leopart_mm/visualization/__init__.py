"""Pictures: colours for clusters, overlays, sheets, the report."""

from leopart_mm.visualization.overlay import fit_side, label_borders, overlay
from leopart_mm.visualization.palette import colour_labels, distinct_colours
from leopart_mm.visualization.panels import cluster_sheet, prediction_row, row, stack

__all__ = [
    'cluster_sheet', 'colour_labels', 'distinct_colours', 'fit_side', 'label_borders', 'overlay', 'prediction_row',
    'row', 'stack'
]
