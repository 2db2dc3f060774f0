"""Processes of a benchmark: started with its threads and environment, watched while they run."""

import json
import os
import pickle
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
    """

    def __init__(self, name: str) -> None:
        self.name, self.start = name, time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the benchmark began."""
        return time.monotonic() - self.start

    def say(self, text: str) -> None:
        """A line."""
        print(f'[{self.seconds:5.0f} s] {self.name}: {text}', file=sys.stderr, flush=True)


def run_side(cls: type[Entry], name: str, side: str, settings: Settings, say: Callable[[str], None] | None = None
             ) -> dict[str, Any]:
    """Run one side in a process of its own.

    Args:
        cls: The benchmark.
        name: Its name.
        side: 'ours', 'baseline', 'details' or 'measure'.
        settings: How it is run.
        say: Called with the seconds so far, as text, now and then while the process runs.

    Returns:
        What `benchmarks.runner.measure` returned in there.

    Raises:
        RuntimeError: If the process fails; its output was printed.
    """
    env = dict(os.environ)
    if cls.threads is not None:
        env.update(dict.fromkeys(THREAD_VARIABLES, str(cls.threads)))
    env.update(cls.baseline_env if side == 'baseline' else cls.ours_env)
    if settings.device == 'cpu':
        env['CUDA_VISIBLE_DEVICES'] = ''  # MMEngine's Runner takes a GPU where there is one
    env['PYTHONPATH'] = os.pathsep.join(filter(None, [str(REPO), env.get('PYTHONPATH')]))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / 'result.pkl'
        arguments = [cls.__module__, name, side, str(out), json.dumps(asdict(settings))]
        status = _watch([sys.executable, '-W', 'ignore', '-m', 'benchmarks.runner', *arguments], env, say)
        if status != 0:
            raise RuntimeError(f'benchmark {name}: the process of "{side}" ended with status {status}; its error '
                               'is printed above (a negative status is a signal: -9 usually means out of memory)')
        return pickle.loads(out.read_bytes())


def _watch(command: list[str], env: dict[str, str], say: Callable[[str], None] | None) -> int:
    start = time.monotonic()
    with subprocess.Popen(command, env=env) as process:
        try:
            while True:
                try:
                    return process.wait(EVERY)
                except subprocess.TimeoutExpired:
                    if say is not None:
                        say(f'still running ({time.monotonic() - start:.0f} s)')
        except BaseException:
            process.kill()
            raise
