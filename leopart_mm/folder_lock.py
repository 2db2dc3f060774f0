"""One run at a time in an output folder: a second one is told, instead of mixing its files with those of the first."""

import json
import os
import socket
import weakref
from pathlib import Path
from typing import Any

from leopart_mm.files import printable

LOCK = '.leopart_mm-lock'
_held: weakref.WeakValueDictionary[str, 'Lock'] = weakref.WeakValueDictionary()


class FolderInUseError(OSError):
    """Another run writes there."""


class Lock:
    """Holds a lock file until the last reference to it is gone, or the process has ended in whatever way."""

    def __init__(self, file: Any) -> None:
        weakref.finalize(self, file.close)


def lock_folder(folder: str | os.PathLike) -> Lock:
    """Keep other runs out of a folder, which is made if it does not exist; see `lock_file`."""
    return lock_file(Path(folder) / LOCK, folder)


def lock_file(path: str | os.PathLike, what: str | os.PathLike) -> Lock:
    """Take the lock `path`. The same process may take it several times.

    A file system that knows no locks (some network drives) locks nothing.

    Args:
        path: The lock file; it stays, empty of meaning once it is released.
        what: The folder or file that it protects, for messages.

    Raises:
        FolderInUseError: If another process holds it; the message names `what` and that process.
        OSError: If the lock file cannot be written.
    """
    key = os.path.realpath(path)
    lock = _held.get(key)
    if lock is None:
        lock = _held[key] = Lock(_take(Path(path), what))
    return lock


def _take(path: Path, what: str | os.PathLike) -> Any:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, 'a+', encoding='utf-8')  # noqa: SIM115  (closed by the Lock)
    except OSError as error:
        raise OSError(error.errno, f'{printable(what)} cannot be written: {error.strerror}') from error
    try:
        _lock(file)
    except (BlockingIOError, PermissionError):
        owner = _owner(path)
        file.close()
        raise FolderInUseError(f'{printable(what)} is in use by another run{owner}. Wait for its end, stop it, or take '
                               'another place.') from None
    except OSError:
        return file
    try:
        file.truncate(0)
        file.write(json.dumps(dict(pid=os.getpid(), host=socket.gethostname())))
        file.flush()
    except OSError:  # a full disk: the lock holds all the same
        pass
    return file


def _lock(file: Any) -> None:
    try:
        import fcntl
    except ImportError:
        import msvcrt
        file.seek(2**20)  # beyond the text, which stays readable
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        # lockf, not flock: data workers, which are forks, do not inherit it and keep it after a kill
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text(encoding='utf-8'))
        return f' (process {owner["pid"]} on {owner["host"]})'
    except (OSError, ValueError, KeyError, TypeError):
        return ''
