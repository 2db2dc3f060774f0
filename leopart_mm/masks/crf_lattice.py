"""The kernels of the dense CRF on permutohedral lattices."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from leopart_mm.devices import move
from leopart_mm.masks.crf_exact import bilateral_features, position_features
from leopart_mm.masks.permutohedral import Lattice, build_lattice

KEPT_PIXELS = 1 << 20
"""Pixels of all sizes together of which the lattices of positions are kept (about 150 bytes per pixel)."""
_kept: 'OrderedDict[tuple, Lattice]' = OrderedDict()


def lattice_messages(image: Tensor, settings: Any) -> Callable[[Tensor, Tensor], None]:
    """The messages of the dense CRF on lattices, as the published library approximates them.

    Source: docs/methods/primaps.md §5.3.

    Args:
        image: (H, W, 3) uint8, RGB, on the CPU or a CUDA device.
        settings: CRFSettings; weights and deviations are read.

    Returns:
        A function of marginals (N, V), N = H * W in row-major order, and of an array (N, V) to which the sum over
        kernels of weight times the symmetrically normalised kernel times the marginals is added.
    """
    lattices = []
    if settings.smooth_weight:
        lattices.append(position_lattice(tuple(image.shape[:2]), settings.smooth_xy, settings.smooth_weight,
                                         image.device))
    if settings.appearance_weight:
        features = bilateral_features(image.flip(2), settings.appearance_xy, settings.appearance_rgb)
        lattices.append(build_lattice(features).normalised(settings.appearance_weight))

    def messages(marginals: Tensor, total: Tensor) -> None:
        for lattice in lattices:
            lattice.filter(marginals, total)

    return messages


def position_lattice(size: tuple[int, int], xy: float, weight: float, device: torch.device) -> Lattice:
    """The normalised lattice of a Gaussian on positions. It depends on the size alone, so the latest are kept."""
    key = (size, float(xy), float(weight), torch.device(device))
    if key not in _kept:
        _kept[key] = build_lattice(move(position_features(size, xy), device), by_point=True).normalised(weight)
    _kept.move_to_end(key)
    lattice = _kept[key]
    while sum(height * width for (height, width), *_ in _kept) > KEPT_PIXELS:
        _kept.popitem(last=False)
    return lattice
