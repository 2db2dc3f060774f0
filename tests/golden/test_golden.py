"""Every golden file of an implemented method is checked by name; a file nobody knows is a failure."""

import numpy as np
import pytest

from tests.golden.cases import load_checks
from tests.paths import GOLDEN_ROOT, OWN_GOLDEN_ROOT

CHECKS = load_checks()
METHODS = sorted({method for method, _ in CHECKS})
FILES = [path for method in METHODS for path in sorted((GOLDEN_ROOT / method).glob('*.npz'))]


@pytest.mark.parametrize('path', FILES, ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_golden(path):
    key = path.parent.name, path.stem
    if key not in CHECKS:
        pytest.fail(f'{path} is a golden file of an implemented method, but no check is registered for it: add one '
                    'with @golden_case in tests/golden/checks_*.py')
    with np.load(path, allow_pickle=False) as arrays:
        CHECKS[key](dict(arrays))


def test_golden_files_are_there():
    found = {(path.parent.name, path.stem) for path in FILES}
    assert found, f'{GOLDEN_ROOT} holds no golden file of {METHODS}'
    if GOLDEN_ROOT == OWN_GOLDEN_ROOT:
        assert found == set(CHECKS), 'a golden file of the project is missing or has no check'
