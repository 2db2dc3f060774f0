"""Running a tool: the first line at once, and errors of the user in one line."""

import hashlib
import os
import sys
import tempfile
import time
import traceback
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from leopart_mm.cli.errors import describe
from leopart_mm.cli.leaving import leaving_the_others
from leopart_mm.cli.open_files import raise_open_files_limit

INTERRUPTED = 130  # 128 + SIGINT, as shells say it
SAME_FAILURE = 60  # seconds within which equal messages of one launch are one


def run_tool(parser: ArgumentParser, work: Callable[[Namespace], int | None], failure: int = 1,
             resume: str = '', argv: Sequence[str] | None = None) -> None:
    """Read the command line, do the work, and exit with its status.

    An error that the user can correct ends in one line on stderr, without a traceback. So does any other error, and the
    line names the file that holds the traceback. ``--debug`` shows the tracebacks of both. Of several processes that
    fail alike on a machine, one speaks.

    Args:
        parser: The arguments; ``--debug`` is added.
        work: Takes the arguments; returns an exit status, or None for success.
        failure: Exit status after an error.
        resume: How an interrupted run is continued, as a sentence.
        argv: Arguments; None takes those of the command line.

    Raises:
        SystemExit: When the work is done or has failed; its code is the exit status.
    """
    parser.add_argument('--debug', action='store_true', help='show the traceback of an error')
    args = parser.parse_args(argv)
    raise_open_files_limit()
    with leaving_the_others():
        _work_and_exit(args, work, failure, resume)


def _work_and_exit(args: Namespace, work: Callable[[Namespace], int | None], failure: int, resume: str) -> NoReturn:
    tool = Path(sys.argv[0]).name
    try:
        sys.exit(work(args) or 0)
    except KeyboardInterrupt as error:
        text, status = f'interrupted. {resume}'.rstrip(), INTERRUPTED
        failed = error
    except BrokenPipeError as error:  # the reader of our output has gone, such as `| head`
        failed, status = error, failure
        if not args.debug:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(failure)
        text = 'the reader of the output has gone.'
    except Exception as error:
        found = describe(error)
        failed, status, text = error, failure, found.text
        kept = keep_traceback(error, always=not found.foreseen)
        if not found.foreseen and not args.debug:
            text += ('\nThis error is unexpected. ' + (f'Its traceback is in {kept}; ' if kept else '')
                     + '--debug shows the traceback.')
    if args.debug:
        traceback.print_exception(failed)
    if args.debug or is_first_to_say(text):
        print(f'{tool}: {text}', file=sys.stderr, flush=True)
    sys.exit(status)


def announce(text: str) -> None:
    """Say what begins, before the imports that take seconds; on the first process only."""
    if os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) == '0':
        print(text, flush=True)


def keep_traceback(error: BaseException, always: bool) -> Path | None:
    """Add the traceback to the log of the run, if there is one; else, with `always`, to a temporary file."""
    text = ''.join(traceback.format_exception(error))
    file = log_file()
    try:
        if file is None and not always:
            return None
        if file is None:
            handle, name = tempfile.mkstemp('.txt', 'leopart_mm-traceback-')
            os.close(handle)
            file = Path(name)
        with open(file, 'a', encoding='utf-8', errors='backslashreplace') as stream:
            stream.write(text)
    except OSError:
        return None
    return file


def log_file() -> Path | None:
    """The log of the current run of MMEngine, if it was imported and writes one."""
    logging = sys.modules.get('mmengine.logging')
    logger = getattr(logging, 'MMLogger', None)
    if logger is None or not logger.check_instance_created(getattr(logger.get_current_instance(), 'instance_name', '')):
        return None
    files = [handler.baseFilename for handler in logger.get_current_instance().handlers
             if hasattr(handler, 'baseFilename')]
    return Path(files[0]) if files and Path(files[0]).exists() else None


def is_first_to_say(text: str) -> bool:
    """Whether no other process of the same launch on this machine has said so within the last minute."""
    if int(os.environ.get('LOCAL_WORLD_SIZE', os.environ.get('SLURM_NTASKS_PER_NODE', '1')) or 1) < 2:
        return True
    launch = os.environ.get('TORCHELASTIC_RUN_ID') or os.environ.get('SLURM_JOB_ID') or ''
    key = hashlib.sha256(f'{launch} {os.getppid()} {text}'.encode(errors='backslashreplace')).hexdigest()[:16]
    mark = Path(tempfile.gettempdir()) / f'leopart_mm-said-{key}'
    try:
        if mark.exists() and time.time() - mark.stat().st_mtime > SAME_FAILURE:
            mark.unlink()
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    except OSError:
        return True
    return True
