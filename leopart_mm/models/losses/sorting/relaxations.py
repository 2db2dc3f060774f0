"""Soft comparisons: how sure a comparator is that its two values are in the right order."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

PHI_EXPONENT = 0.25
PHI_GUARD = 1e-10


@dataclass(frozen=True)
class Relaxation:
    """A soft step function of the difference d = (value on wire hi) - (value on wire lo), with steepness s.

    Args:
        order: (d, s) -> alpha in [0, 1], the share of wire lo's value that stays on wire lo; 1/2 at d = 0, and
            alpha(-d) = 1 - alpha(d).
        slope: (d, s, alpha) -> the derivative of alpha with respect to d.
    """

    order: Callable[[Tensor, float], Tensor]
    slope: Callable[[Tensor, float, Tensor], Tensor]


def _cauchy(d: Tensor, s: float) -> Tensor:
    return torch.atan(s * d) / math.pi + 0.5


def _cauchy_slope(d: Tensor, s: float, alpha: Tensor) -> Tensor:
    return (s / math.pi) / (1 + (s * d)**2)


def _logistic(d: Tensor, s: float) -> Tensor:
    return torch.sigmoid(s * d)


def _logistic_slope(d: Tensor, s: float, alpha: Tensor) -> Tensor:
    return s * alpha * (1 - alpha)


def _logistic_phi(d: Tensor, s: float) -> Tensor:
    return torch.sigmoid(s * d / (d.abs() + PHI_GUARD)**PHI_EXPONENT)


def _logistic_phi_slope(d: Tensor, s: float, alpha: Tensor) -> Tensor:
    size = d.abs() + PHI_GUARD
    return alpha * (1 - alpha) * s * size**-PHI_EXPONENT * (1 - PHI_EXPONENT * d.abs() / size)


def _gaussian(d: Tensor, s: float) -> Tensor:
    return torch.special.ndtr(s * d)


def _gaussian_slope(d: Tensor, s: float, alpha: Tensor) -> Tensor:
    return torch.exp(-(s * d)**2 / 2) * (s / math.sqrt(2 * math.pi))


def _reciprocal(d: Tensor, s: float) -> Tensor:
    v = s * d
    return (v / (2 + v.abs()) + 1) / 2


def _reciprocal_slope(d: Tensor, s: float, alpha: Tensor) -> Tensor:
    return s / (2 + (s * d).abs())**2


def _optimal(d: Tensor, s: float) -> Tensor:
    v = s * d
    tail = 1 / (16 * v.abs().clamp(min=0.25))
    return torch.where(v.abs() <= 0.25, v + 0.5, torch.where(v > 0, 1 - tail, tail))


def _optimal_slope(d: Tensor, s: float, alpha: Tensor) -> Tensor:
    return s / (4 * (s * d).abs().clamp(min=0.25))**2


RELAXATIONS: dict[str, Relaxation] = dict(
    cauchy=Relaxation(_cauchy, _cauchy_slope),
    logistic=Relaxation(_logistic, _logistic_slope),
    logistic_phi=Relaxation(_logistic_phi, _logistic_phi_slope),
    gaussian=Relaxation(_gaussian, _gaussian_slope),
    reciprocal=Relaxation(_reciprocal, _reciprocal_slope),
    optimal=Relaxation(_optimal, _optimal_slope))
"""The relaxations of docs/methods/neco.md §4.2 by name; NeCo takes 'cauchy'."""


def check_relaxation(name: str) -> None:
    """Refuse a name that is not in `RELAXATIONS`.

    Raises:
        ValueError: If `name` is unknown; the message lists all.
    """
    if name not in RELAXATIONS:
        raise ValueError(f'relaxation={name!r} is unknown; choose one of {tuple(RELAXATIONS)}')
