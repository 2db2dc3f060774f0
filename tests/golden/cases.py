"""The list of golden checks: one function a case, found by method and file name.

A check takes the arrays of ``<method>/<case>.npz`` (a dict of numpy arrays) and asserts that the project's own
functions give the recorded outputs, within the tolerance that the golden README states for the case.
"""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path

GoldenCheck = Callable[[dict], None]
CHECKS: dict[tuple[str, str], GoldenCheck] = {}


def golden_case(method: str, *cases: str) -> Callable[[GoldenCheck], GoldenCheck]:
    """Register a check for one or more files of a method: ``@golden_case('leopart', 'loss_all')``."""

    def register(check: GoldenCheck) -> GoldenCheck:
        for case in cases:
            assert (method, case) not in CHECKS, f'{method}/{case} is registered twice'
            CHECKS[method, case] = check
        return check

    return register


def load_checks() -> dict[tuple[str, str], GoldenCheck]:
    """Import every ``checks_*.py`` of this folder and return all registered checks."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith('checks_'):
            importlib.import_module(f'tests.golden.{module.name}')
    return CHECKS
