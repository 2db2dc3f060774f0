"""Locks between processes."""

import gc
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from leopart_mm.folder_lock import LOCK, FolderInUseError, lock_file, lock_folder
from tests.paths import REPO

HOLD = """
import importlib.util, sys, time
import types
for name in ('leopart_mm', ):  # without the imports of the package, which take seconds
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [sys.argv[1] + '/leopart_mm']
from leopart_mm.folder_lock import lock_file
lock = lock_file(sys.argv[2], sys.argv[2])
print('held', flush=True)
time.sleep(60)
"""


@contextmanager
def held_by_another_process(path):
    """A process that holds the lock file, killed at the end."""
    process = subprocess.Popen([sys.executable, '-c', HOLD, str(REPO), str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == 'held\n'
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_a_second_process_is_told_who_holds_the_folder_and_a_kill_frees_it(tmp_path):
    with held_by_another_process(tmp_path / 'new' / LOCK) as process:
        with pytest.raises(FolderInUseError) as caught:
            lock_folder(tmp_path / 'new')
        assert f'{tmp_path / "new"} is in use by another run (process {process.pid} on ' in str(caught.value)
    lock = lock_folder(tmp_path / 'new')
    assert lock_folder(f'{tmp_path}/./new') is lock  # the process itself may take it again


def test_a_lock_ends_with_its_last_reference(tmp_path):
    lock = lock_file(tmp_path / 'lock', tmp_path)
    gc.collect()
    descriptors = len(os.listdir('/proc/self/fd')) if os.path.isdir('/proc/self/fd') else None
    del lock
    gc.collect()
    if descriptors is not None:
        assert len(os.listdir('/proc/self/fd')) == descriptors - 1
    with held_by_another_process(tmp_path / 'lock'), pytest.raises(FolderInUseError):
        lock_file(tmp_path / 'lock', tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match='below cannot be written: '):
        lock_folder(tmp_path / 'file' / 'below')
