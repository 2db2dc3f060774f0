"""The network of clusters that communities are found in, as a value."""

from dataclasses import dataclass

import numpy as np


@dataclass
class ClusterNetwork:
    """K clusters, how often they touch, and the community of each.

    Args:
        matrix: (K, K) float64, directed co-occurrence, 0..1.
        communities: (K,) int64, 0 is background, others count from 1.
        frequencies: (K,) int64, pixels of each cluster.
        threshold: Two clusters are joined where both directed co-occurrences reach this value.
    """

    matrix: np.ndarray
    communities: np.ndarray
    frequencies: np.ndarray
    threshold: float
