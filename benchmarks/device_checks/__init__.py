"""What a device computes beside what the CPU computes: the equality checks of tools/gpu_check.py.

A check is a function of a device that returns `Comparison`s. It makes its inputs on the CPU, from seeds, and does the
same work with copies of them on the device. On the CPU itself both are the same: then it says only that the work runs.
"""

import importlib
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

MODULES = ('networks', 'step', 'images', 'fitting')


class Comparison(NamedTuple):
    """One quantity of a check.

    Args:
        quantity: What is compared, and how its difference is measured.
        difference: Between device and CPU.
        bound: Largest difference that passes.
    """

    quantity: str
    difference: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether the difference is within its bound; NaN is not."""
        return self.difference <= self.bound


Check = Callable[[torch.device], list[Comparison]]
CHECKS: dict[str, Check] = {}


def device_check(name: str) -> Callable[[Check], Check]:
    """Decorator that makes a check known under a name."""

    def register(check: Check) -> Check:
        CHECKS[name] = check
        return check

    return register


def load_checks() -> dict[str, Check]:
    """All checks by name, in the order in which they are to run."""
    for module in MODULES:
        importlib.import_module(f'benchmarks.device_checks.{module}')
    return CHECKS


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """Length of the difference over the length of what is expected, in float64.

    >>> relative_difference(torch.tensor([3., 4.5]), torch.tensor([3., 4.]))
    0.1
    """
    found, expected = found.detach().cpu().double().flatten(), expected.detach().cpu().double().flatten()
    return float((found - expected).norm() / expected.norm().clamp(min=1e-30))


def unequal_share(found: Tensor, expected: Tensor) -> float:
    """Share of entries that differ.

    >>> unequal_share(torch.tensor([1, 2, 3, 4]), torch.tensor([1, 2, 3, 5]))
    0.25
    """
    return float((found.cpu() != expected.cpu()).double().mean())
