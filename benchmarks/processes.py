"""Processes of a benchmark: started with its threads and environment, watched while they run."""

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.base import Entry, Settings

REPO = Path(__file__).resolve().parent.parent
THREAD_VARIABLES = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')
EVERY = 20.  # seconds between two signs of life


class Progress:
    """Says on stderr what runs, with the seconds since the benchmark began.

    Args:
        name: The benchmark.
        limit: Seconds that it may take.
    """

    def __init__(self, name: str, limit: float = float('inf')) -> None:
        self.name, self.start, self.limit = name, time.monotonic(), limit

    @property
    def seconds(self) -> float:
        """Since the benchmark began."""
        return time.monotonic() - self.start

    @property
    def left(self) -> float:
        """Seconds until the limit."""
        return max(0., self.limit - self.seconds)

    def say(self, text: str) -> None:
        """A line."""
        print(f'[{self.seconds:5.0f} s] {self.name}: {text}', file=sys.stderr, flush=True)


def run_side(cls: type[Entry], name: str, side: str, settings: Settings, say: Callable[[str], None] | None = None,
             limit: float = float('inf')) -> dict[str, Any]:
    """Run one side in a process of its own.

    Args:
        cls: The benchmark.
        name: Its name.
        side: 'ours', 'baseline', 'details' or 'measure'.
        settings: How it is run.
        say: Called with the seconds so far, as text, now and then while the process runs.
        limit: Seconds that it may take.

    Returns:
        What `benchmarks.runner.measure` returned in there.

    Raises:
        RuntimeError: If the process fails; its output was printed.
        TimeoutError: If it does not end in time; it is then stopped.
    """
    env = dict(os.environ)
    threads = settings.threads or cls.threads
    if threads is not None:
        env.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    env.update(cls.baseline_env if side == 'baseline' else cls.ours_env)
    if settings.device == 'cpu':
        env['CUDA_VISIBLE_DEVICES'] = ''  # MMEngine's Runner takes a GPU where there is one
    env['PYTHONPATH'] = os.pathsep.join(filter(None, [str(REPO), env.get('PYTHONPATH')]))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / 'result.pkl'
        arguments = [cls.__module__, name, side, str(out), json.dumps(asdict(settings))]
        status = _watch([sys.executable, '-W', 'ignore', '-m', 'benchmarks.runner', *arguments], env, say, limit)
        if status != 0:
            raise RuntimeError(f'benchmark {name}: the process of "{side}" ended with status {status}; its error '
                               'is printed above (a negative status is a signal: -9 usually means out of memory)')
        return pickle.loads(out.read_bytes())


def _watch(command: list[str], env: dict[str, str], say: Callable[[str], None] | None, limit: float) -> int:
    start = time.monotonic()
    # A session of its own: its loader and worker processes end with it.
    with subprocess.Popen(command, env=env, start_new_session=True) as process:
        try:
            while True:
                passed = time.monotonic() - start
                if passed >= limit:
                    raise TimeoutError(f'it did not end within {limit:.0f} s')
                try:
                    return process.wait(min(EVERY, limit - passed))
                except subprocess.TimeoutExpired:
                    if say is not None:
                        say(f'still running ({time.monotonic() - start:.0f} s)')
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
