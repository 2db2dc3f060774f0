"""Run the two sides of a benchmark in alternating processes and compare them.

``python -m benchmarks.runner NAME SIDE OUT [--quick]`` is one such process.
"""

import argparse
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.base import Benchmark, get_benchmark
from benchmarks.memory import PeakMemory

REPO = Path(__file__).resolve().parent.parent
THREAD_VARIABLES = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')


def run_benchmark(name: str, quick: bool = False) -> dict[str, Any]:
    """Measure both sides.

    Returns:
        ``{"name", "ours": {"seconds", "peak_mb"}, "baseline": {"seconds", "peak_mb"}, "speedup", "memory_ratio",
        "same_result"}`` and "compared", "details". ``speedup`` is the baseline's seconds over ours, ``memory_ratio``
        our peak over the baseline's.

    Raises:
        RuntimeError: If a process fails; its output was printed.
    """
    cls = get_benchmark(name)
    measured: dict[str, list[dict]] = {'ours': [], 'baseline': []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(1 if quick else cls.rounds):
            for side, runs in measured.items():
                runs.append(_run_process(cls, name, side, Path(folder) / 'result.pkl', quick))
        details = _run_process(cls, name, 'details', Path(folder) / 'result.pkl', quick)['result']
    sides = {
        side: dict(
            seconds=statistics.median(second for run in runs for second in run['seconds']),
            peak_mb=statistics.median(run['peak_mb'] for run in runs))
        for side, runs in measured.items()
    }
    same = all(cls().same(a['result'], b['result']) for a, b in zip(*measured.values(), strict=True))
    return dict(
        name=name,
        **sides,
        speedup=sides['baseline']['seconds'] / sides['ours']['seconds'],
        memory_ratio=sides['ours']['peak_mb'] / max(sides['baseline']['peak_mb'], 1e-3),
        same_result=bool(same),
        compared=cls.compared,
        details=details)


def measure(cls: type[Benchmark], side: str, quick: bool) -> dict[str, Any]:
    """What a process does: seconds of each call, peak memory in MB, and the last result."""
    if cls.threads is not None:
        import cv2
        import torch
        torch.set_num_threads(cls.threads)
        cv2.setNumThreads(cls.threads if cls.threads > 1 else 0)
    work = cls()
    work.setup(quick)
    if side == 'details':
        return dict(result=list(work.details()))
    call = getattr(work, side)
    clock = {'wall': time.perf_counter, 'cpu': time.process_time}[cls.clock]
    memory = PeakMemory()
    if cls.warm_up and not quick:
        call()
    seconds = []
    for _ in range(1 if quick else cls.repeats):
        start = clock()
        result = call()
        seconds.append(clock() - start)
    return dict(seconds=seconds, peak_mb=memory.peak_mb(), result=result)


def _run_process(cls: type[Benchmark], name: str, side: str, out: Path, quick: bool) -> dict[str, Any]:
    env = dict(os.environ)
    if cls.threads is not None:
        env.update(dict.fromkeys(THREAD_VARIABLES, str(cls.threads)))
    env.update(cls.baseline_env if side == 'baseline' else cls.ours_env)
    command = [sys.executable, '-W', 'ignore', '-m', 'benchmarks.runner', name, side, str(out)]
    env['PYTHONPATH'] = os.pathsep.join(filter(None, [str(REPO), env.get('PYTHONPATH')]))
    done = subprocess.run(command + ['--quick'] * quick, env=env)
    if done.returncode != 0:
        raise RuntimeError(f'benchmark {name}: the process of "{side}" ended with status {done.returncode}; its error '
                           'is printed above (a negative status is a signal: -9 usually means out of memory)')
    return pickle.loads(out.read_bytes())


def main() -> None:
    """One process of `run_benchmark`."""
    parser = argparse.ArgumentParser()
    parser.add_argument('name')
    parser.add_argument('side', choices=('ours', 'baseline', 'details'))
    parser.add_argument('out', type=Path)
    parser.add_argument('--quick', action='store_true')
    args = parser.parse_args()
    args.out.write_bytes(pickle.dumps(measure(get_benchmark(args.name), args.side, args.quick)))


if __name__ == '__main__':
    main()
