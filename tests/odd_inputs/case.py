"""A case: an odd input, how it is made, what it is given to, and the answer that comes back."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mmengine.logging import MMLogger

from tests.paths import REPO

CASES: list['Case'] = []


@dataclass
class Case:
    """A row of docs/odd_inputs.md.

    Args:
        section: Heading below which it stands.
        title: The input, and how it is made.
        command: What it is given to.
        run: Function of an empty folder that asserts what must hold and returns the answer.
    """

    section: str
    title: str
    command: str
    run: Callable[[Path], str]

    def row(self, folder: Path) -> str:
        """Run the case in an empty folder; returns its line of the table."""
        answer = self.run(folder)
        for place, shown in ((folder, '...'), (REPO, '.')):
            answer = answer.replace(str(place), shown)
        answer = re.sub(r'(ends with one of ).*?( \(in either case)', r'\1.jpg, ...\2', answer, flags=re.DOTALL)
        answer = re.sub(r'\(RuntimeError: .*\)', '(RuntimeError: ...)', answer, flags=re.DOTALL)  # torch's own words
        assert '_io.BytesIO' not in answer
        answer = ' '.join(answer.split()).replace('|', r'\|').replace('<', r'\<')
        return f'| {self.title} | `{self.command}` | {answer} |'


def case(section: str, title: str, command: str) -> Callable:
    """Decorator that adds a function of an empty folder to the cases."""

    def add(run: Callable[[Path], str]) -> Callable:
        CASES.append(Case(section, title, command, run))
        return run

    return add


class _Lines(logging.Handler):

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def log_lines() -> Iterator[list[str]]:
    """What is logged within the block."""
    logger, handler = MMLogger.get_current_instance(), _Lines()
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def error_of(action: Callable, kind: type[BaseException] | tuple = Exception, contains: str = '') -> str:
    """The error that an action ends in, in words."""
    try:
        action()
    except kind as error:
        text = str(error)
        assert contains in text, text
        return f'Error: {text}'
    raise AssertionError('no error')


def said(lines: list[str], contains: str) -> str:
    """The line of a log that contains a text."""
    found = [line for line in lines if contains in line]
    assert found, lines
    return f'Says: {found[0]}'
