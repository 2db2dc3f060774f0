"""The examples in docstrings do what they show."""

import doctest
import importlib
import pkgutil

import leopart_mm


def test_examples_in_docstrings():
    """All modules in one process: importing them is what costs."""
    functions = set()
    for found in pkgutil.walk_packages(leopart_mm.__path__, 'leopart_mm.'):
        module = importlib.import_module(found.name)
        for test in doctest.DocTestFinder(exclude_empty=True).find(module, found.name):
            if not test.examples:
                continue
            report = []
            outcome = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
            assert not outcome.failed, ''.join(report)
            functions.add(test.name)
    assert len(functions) >= 10, f'Only {sorted(functions)} have examples.'
