"""Metrics, and label maps as files."""

from leopart_mm.evaluation.boundary_metric import BoundaryF1Metric
from leopart_mm.evaluation.cluster_metric import ClusterMetric
from leopart_mm.evaluation.instance_metric import InstanceMetric
from leopart_mm.evaluation.instance_writer import InstanceResultsWriter
from leopart_mm.evaluation.label_free import LabelFreeMetric
from leopart_mm.evaluation.label_writer import LabelMapWriter, read_labels, write_labels
from leopart_mm.geometry.boundary import boundary_f1, boundary_f1_per_class

__all__ = [
    'BoundaryF1Metric', 'ClusterMetric', 'InstanceMetric', 'InstanceResultsWriter', 'LabelFreeMetric',
    'LabelMapWriter', 'boundary_f1',
    'boundary_f1_per_class', 'read_labels', 'write_labels'
]
