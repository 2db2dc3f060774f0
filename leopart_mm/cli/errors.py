"""Errors in the words of a user: which ones were foreseen, and what is said about each."""

import dis
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from leopart_mm.cli.open_files import too_many_open_files

PACKAGE = Path(__file__).resolve().parent.parent
# Files whose `raise` statements speak to users: ours, and the frameworks', which check what a config gives them.
OUR_FILES = (str(PACKAGE), str(PACKAGE.parent / 'tools'), str(PACKAGE.parent / 'benchmarks'))
FRAMEWORKS = re.compile(r'[/\\](mmengine|mmseg|mmpretrain|mmdet|mmcv|timm)[/\\]')
READS_CONFIGS = re.compile(r'[/\\]mmengine[/\\]config[/\\]')
BUILDS = re.compile(r'[/\\]mmengine[/\\]registry[/\\]')
WORKER = re.compile(r'Caught (\w+) in (?:DataLoader worker|replica|pin memory)[^\n]*\.\nOriginal Traceback', re.DOTALL)
LAST_LINE = re.compile(r'^([A-Za-z_][\w.]*): ', re.MULTILINE)
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
OPEN_FILES = ('Too many open files', 'received 0 items of ancdata')
SHARED_MEMORY = re.compile(r'Bus error|unable to (?:open|allocate|write to file) .*shared memory|'
                           r'unable to write to file </torch')


class Description(NamedTuple):
    """What is said about an error, and whether it was foreseen: then its text is all that a user needs."""

    text: str
    foreseen: bool


def describe(error: BaseException) -> Description:
    """An error in words, from the first of its chain of causes that was foreseen.

    Foreseen are: errors that our code raises on purpose, errors of the operating system that name a file, what MMEngine
    says about configs, missing packages, and running out of memory, of shared memory or of open files.
    """
    for link in chain(error):
        text = _words(link)
        if text:
            return Description(text, True)
    return Description(f'{type(error).__name__}: {message(error)}'.removesuffix(': '), False)


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def message(error: BaseException) -> str:
    """The text of an error; str() would quote that of a KeyError."""
    return str(error.args[0]) if isinstance(error, KeyError) and len(error.args) == 1 else str(error)


def _words(error: BaseException) -> str | None:
    text = message(error)
    if any(words in text for words in OPEN_FILES):
        return too_many_open_files()
    if SHARED_MEMORY.search(text):
        return (f'{text.splitlines()[0]} Data workers pass images through shared memory (/dev/shm), and it is full: '
                'docker run --shm-size=4g, or --cfg-options train_dataloader.num_workers=0.')
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return _of_the_system(error)
    if type(error).__name__ == 'OutOfMemoryError':
        return f'{text.splitlines()[0]} A smaller batch helps: --cfg-options train_dataloader.batch_size=N.'
    if WORKER.match(text):
        return _of_a_worker(text)
    if isinstance(error, SyntaxError) and error.filename:
        return f'{error.filename}, line {error.lineno}: {error.msg}: {(error.text or "").strip()}'
    if isinstance(error, ImportError):
        return f'{text}. `python -m leopart_mm.doctor` says what is missing, and the cure.'
    frames = list(_frames(error.__traceback__))
    if not frames or not text:
        return None
    file = os.path.abspath(frames[-1].tb_frame.f_code.co_filename)
    if _is_raised(frames[-1]) and (file.startswith(OUR_FILES) or FRAMEWORKS.search(file)):
        return text
    if BUILDS.search(file):
        return f'{_builder(frames)}{text}'
    if any(READS_CONFIGS.search(frame.tb_frame.f_code.co_filename) for frame in frames):
        return f'The config cannot be read: {type(error).__name__}: {text}'
    return None


def _of_the_system(error: OSError) -> str:
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    if not names:
        return error.strerror if ' ' in error.strerror else f'{error.strerror}.'
    text = f'{" -> ".join(names)}: {error.strerror}.'
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        text += ' Choose a folder that can be written by --work-dir or --out, if this was to be written.'
    elif error.errno in NO_SPACE:
        text += ' Free some space, or write elsewhere (--work-dir, --out).'
    return text.encode('utf-8', 'backslashreplace').decode()


def _of_a_worker(text: str) -> str | None:
    """The message of an error in a data worker, which comes as the text of a traceback."""
    files = re.findall(r'^  File "([^"]+)", line', text, re.MULTILINE)
    found = list(LAST_LINE.finditer(text, text.rfind('\n  File "')))
    if not found or not files:
        return None
    name, words = found[0][1].rpartition('.')[2], text[found[0].end():].strip()
    if files[-1].startswith(OUR_FILES) or (name.endswith('Error') and '[Errno' in words):
        return words
    return None


def _builder(frames: list[TracebackType]) -> str:
    """What was being built from a config when its arguments did not fit."""
    built = frames[-1].tb_frame.f_locals.get('obj_cls')
    return f'The config of {built.__name__}: ' if hasattr(built, '__name__') else ''


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _is_raised(frame: TracebackType) -> bool:
    """Whether the error comes from a `raise` or `assert` there, not from a fault in an expression."""
    code = frame.tb_frame.f_code.co_code
    return dis.opname[code[frame.tb_lasti]] in ('RAISE_VARARGS', 'RERAISE')
