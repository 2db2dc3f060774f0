"""The page docs/odd_inputs.md: `python -m tests.odd_inputs.write` runs all cases and writes it."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from leopart_mm.files import write_text_whole
from tests.odd_inputs import (
    cases_exports,
    cases_images,
    cases_lists,
    cases_masks,
    cases_numbers,
    cases_published_labels,
    cases_runs,
    cases_stego,
)
from tests.odd_inputs.case import CASES, Case
from tests.paths import REPO

MODULES = (cases_images, cases_numbers, cases_masks, cases_lists, cases_runs, cases_stego, cases_published_labels,
           cases_exports)
PAGE = REPO / 'docs' / 'odd_inputs.md'
HEAD = '''# Odd inputs and their answers

Written by `python -m tests.odd_inputs.write`, which makes every input below, hands it over and checks the answer; the
test suite runs the same cases and compares them with this page. {number} inputs. "Says" is a line of the log, "Error"
ends the command in this one line.
'''


def page(row_of: Callable[[Case], str]) -> str:
    """The page, with the rows that a function of a case gives."""
    parts = [HEAD.format(number=len(CASES))]
    for section in dict.fromkeys(case.section for case in CASES):
        rows = [row_of(case) for case in CASES if case.section == section]
        parts.append('\n'.join([f'## {section}\n', '| Input | Given to | Answer |', '|---|---|---|', *rows]) + '\n')
    return '\n'.join(parts)


def main() -> None:
    with TemporaryDirectory() as top:

        def row_of(case: Case) -> str:
            folder = Path(top) / f'{CASES.index(case):03}'
            folder.mkdir()
            return case.row(folder)

        write_text_whole(PAGE, page(row_of))
    print(f'{PAGE}: {len(CASES)} inputs')


if __name__ == '__main__':
    main()
