"""Every odd input has the answer that docs/odd_inputs.md gives."""

import pytest

from tests.odd_inputs.case import CASES
from tests.odd_inputs.write import PAGE, page

ADVICE = 'python -m tests.odd_inputs.write writes docs/odd_inputs.md anew'


@pytest.fixture(scope='module')
def lines():
    return PAGE.read_text(encoding='utf-8').splitlines()


@pytest.mark.parametrize('number', range(len(CASES)), ids=[f'{case.section}: {case.title}'[:60] for case in CASES])
def test_the_answer_is_that_of_the_page(number, tmp_path, lines):
    assert CASES[number].row(tmp_path) in lines, ADVICE


def test_the_page_has_these_cases_and_no_other(lines):
    expected = page(lambda case: f'| {case.title} | `{case.command}` | ').splitlines()
    assert len(lines) == len(expected), ADVICE
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start), ADVICE
    assert len(CASES) >= 60
