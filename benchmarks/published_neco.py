"""NeCo's sort and cross-entropy the published way, written from its description (docs/methods/neco.md §3.5, §4).

Every layer of the network is four dense 0/1 matrices: two that bring the wires of its comparators to the soft minimum
and maximum, two that bring these back. A wire without a comparator is one that is compared with itself. Autograd keeps
what every layer made.
"""

import math

import torch
from torch import Tensor

from leopart_mm.models.losses.sorting.networks import SortingNetwork

Layer = tuple[Tensor, Tensor, Tensor, Tensor]


def dense_layers(network: SortingNetwork, device: torch.device | str = 'cpu') -> list[Layer]:
    """For every layer (rows, n): the wires of the first values, of the second ones, and where minima and maxima go."""
    layers = []
    for comparators in network.layers:
        alone = sorted(set(range(network.size)) - {wire for pair in comparators for wire in pair})
        first, second, to_min, to_max = (
            torch.zeros(len(comparators) + len(alone), network.size) for _ in range(4))
        for row, (lo, hi) in enumerate(comparators):
            first[row, lo] = second[row, hi] = to_min[row, lo] = to_max[row, hi] = 1
        for row, wire in enumerate(alone, len(comparators)):
            first[row, wire] = second[row, wire] = to_min[row, wire] = 1
        layers.append(tuple(matrix.to(device) for matrix in (first, second, to_min, to_max)))
    return layers


def dense_sort(values: Tensor, layers: list[Layer], steepness: float) -> Tensor:
    """Rows (R, n) -> permutation matrices (R, n items, n ranks), Cauchy relaxation."""
    matrix = torch.eye(values.shape[1], device=values.device).repeat(len(values), 1, 1)
    for first, second, to_min, to_max in layers:
        a, b = values @ first.T, values @ second.T
        alpha = torch.atan(steepness * (b - a)) / math.pi + 0.5
        values = (alpha * a + (1 - alpha) * b) @ to_min + ((1 - alpha) * a + alpha * b) @ to_max
        alpha = alpha.unsqueeze(1)
        a, b = matrix @ first.T, matrix @ second.T
        matrix = (alpha * a + (1 - alpha) * b) @ to_min + ((1 - alpha) * a + alpha * b) @ to_max
    return matrix


def dense_cross_entropy(student: Tensor, teacher: Tensor, layers: list[Layer], steepness: float) -> Tensor:
    """The loss of rows (R, n): the mean cross-entropy of the teacher's and the student's permutations."""
    with torch.no_grad():
        Q = dense_sort(teacher, layers, steepness)
    P = dense_sort(student, layers, steepness)
    return -(Q * P.log()).sum((1, 2)).mean() / student.shape[1]
