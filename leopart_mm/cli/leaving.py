"""Leaving a process that worked together with others, so that a run that succeeded also exits with success.

A thread of gloo frees the tensors of the last collective a moment after the process has their values, and needs the
interpreter for that. Where Python is already ending, this aborts the process ("terminate called without an active
exception"), and the launcher calls a run failed that has written all it had to.
"""

import atexit
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def leaving_the_others() -> Iterator[None]:
    """Do in this block what a process does with others, as the first thing that may register exit functions.

    If a process group was joined in it, the process exits after all other exit functions without ending the
    interpreter, with the status that Python would have given; after success the group is left first. A process that
    has not joined others ends as ever.
    """
    status = 0

    def leave() -> None:
        logging.shutdown()  # its own exit function may have been registered before ours, and would come too late
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # the reader has gone, or the stream is closed
                stream.flush()
        os._exit(status)

    atexit.register(leave)
    try:
        yield
    except SystemExit as end:
        status = exit_status(end.code)
        raise
    except BaseException:
        status = 1
        raise
    finally:
        if not joined_others():
            atexit.unregister(leave)
        elif status == 0:  # after a failure another process may still wait in a collective, and we would wait for it
            sys.modules['torch'].distributed.destroy_process_group()


def joined_others() -> bool:
    """Whether this process is in a process group; without importing torch for the answer."""
    torch = sys.modules.get('torch')
    return torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized()


def exit_status(code: object) -> int:
    """The status that Python exits with for the code of a SystemExit.

    >>> [exit_status(code) for code in (None, 0, 3, 'a message')]
    [0, 0, 3, 1]
    """
    return 0 if code is None else code if isinstance(code, int) else 1
