"""Run the two sides of a benchmark in alternating processes and compare them, or run a measurement.

``python -m benchmarks.runner MODULE NAME SIDE OUT SETTINGS`` is one such process.
"""

import argparse
import importlib
import json
import pickle
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.base import BUDGET, LONG, Benchmark, Entry, Measurement, Settings, checked, get_benchmark
from benchmarks.device import PeakDeviceMemory, clock_of, describe_machine, synchronise
from benchmarks.memory import PeakMemory
from benchmarks.processes import Progress, run_side

PACKAGES = ('leopart_mm.models', 'leopart_mm.evaluation', 'leopart_mm.engine.console_runner', 'leopart_mm.apis')
IMPORTED = 20  # so many modules more after a call say that it has spent its time on importing packages


def run_benchmark(name: str, quick: bool = False, limit: float = float('inf'), **more: Any) -> dict[str, Any]:
    """Measure a benchmark.

    Args:
        name: Its name.
        quick: Tiny inputs, one round.
        limit: Seconds that it may take.
        **more: Other fields of `Settings`.

    Returns:
        "name", "size" ('quick', 'default' or 'full'), "machine" (`describe_machine`) and "total" ({"seconds",
        "processor_seconds"} of everything, preparations included). Of a `Benchmark` also ``{"ours": {"seconds",
        "peak_mb"}, "baseline": {"seconds", "peak_mb"}, "speedup", "memory_ratio", "same_result"}`` and "compared",
        "rounds", "details", on CUDA "peak_device_mb" in both sides; ``speedup`` is the baseline's seconds over ours,
        ``memory_ratio`` our peak of host memory over the baseline's. Of a `Measurement`: "tables" (of {"title",
        "columns", "rows"}), "figures", "details", "options".

    Raises:
        RuntimeError: If a process fails; its output was printed.
        ValueError: If the benchmark cannot run so.
        TimeoutError: If it does not end in time; its processes are then stopped.
    """
    cls = get_benchmark(name)
    settings = checked(name, cls, Settings(quick=quick, **more))
    progress, before = Progress(name, limit), _processor_seconds()
    found = (_measure_alone if issubclass(cls, Measurement) else _compare)(cls, name, settings, progress)
    size = 'quick' if quick else 'full' if settings.full and cls.full_size else 'default'
    total = dict(seconds=progress.seconds, processor_seconds=_processor_seconds() - before)
    machine = describe_machine(settings.device)
    machine['threads'] = settings.threads or cls.threads or machine['threads']
    return dict(name=name, size=size, machine=machine, total=total, **found)


def _measure_alone(cls: type[Measurement], name: str, settings: Settings, progress: Progress) -> dict[str, Any]:
    progress.say('measuring')
    report = run_side(cls, name, 'measure', settings, progress.say, progress.left)['result']
    return dict(tables=[table._asdict() for table in report.tables], figures=report.figures,
                details=list(report.lines), options=dict(settings.options))


def _compare(cls: type[Benchmark], name: str, settings: Settings, progress: Progress) -> dict[str, Any]:
    rounds = 1 if settings.quick or settings.brief else cls.rounds
    measured: dict[str, list[dict]] = {'ours': [], 'baseline': []}
    last = 0.
    for turn in range(rounds):
        start = progress.seconds
        if turn and start + last > BUDGET and not settings.full:
            progress.say(f'{turn} of {rounds} rounds; the others would take longer than is meant')
            break
        for side, runs in measured.items():
            where = f'round {turn + 1} of {rounds}, {side}'
            progress.say(where)
            runs.append(run_side(cls, name, side, settings,
                                 lambda text, where=where: progress.say(f'{where}: {text}'), progress.left))
        last = progress.seconds - start
    details = []
    if cls.details is not Benchmark.details and not settings.brief:
        progress.say('details')
        details = run_side(cls, name, 'details', settings, progress.say, progress.left)['result']
    progress.say('comparing the results')
    sides = {side: _summary(runs) for side, runs in measured.items()}
    same = all(cls().same(a['result'], b['result']) for a, b in zip(*measured.values(), strict=True))
    return dict(
        **sides,
        speedup=sides['baseline']['seconds'] / sides['ours']['seconds'],
        memory_ratio=sides['ours']['peak_mb'] / max(sides['baseline']['peak_mb'], 1e-3),
        same_result=bool(same),
        compared=cls.compared,
        rounds=len(measured['ours']),
        details=details)


def _summary(runs: list[dict[str, Any]]) -> dict[str, float]:
    found = dict(seconds=statistics.median(second for run in runs for second in run['seconds']),
                 peak_mb=statistics.median(run['peak_mb'] for run in runs))
    if runs[0]['peak_device_mb'] is not None:
        found['peak_device_mb'] = statistics.median(run['peak_device_mb'] for run in runs)
    return found


def _processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def measure(cls: type[Entry], side: str, quick: bool = False, **more: Any) -> dict[str, Any]:
    """What a process does: seconds of each call, peaks of memory in MB, and the last result.

    Args:
        cls: The benchmark.
        side: 'ours' or 'baseline'; 'details' or 'measure' give the result only.
        quick: Tiny inputs, one call.
        **more: Other fields of `Settings`.
    """
    settings = Settings(quick=quick, **more)
    if torch.device(settings.device).type == 'cuda':
        torch.cuda.set_device(settings.device)  # which 'cuda' then means
    threads = settings.threads or cls.threads
    if threads is not None:
        import cv2
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads if threads > 1 else 0)
    if issubclass(cls, Benchmark) and not quick:
        for package in PACKAGES:  # neither side is charged for importing them, in time or memory
            importlib.import_module(package)
    work = cls.prepared(settings)
    if side in ('details', 'measure'):
        return dict(result=getattr(work, side)())
    call = getattr(work, side)
    clock = clock_of(settings.device) if cls.clock == 'cpu' else time.perf_counter
    memory, device_memory = PeakMemory(), PeakDeviceMemory(settings.device)

    def timed() -> tuple[float, Any]:
        synchronise(settings.device)
        start = clock()
        result = call()
        synchronise(settings.device)
        return clock() - start, result

    modules = len(sys.modules)
    first, result = timed()
    seconds = [first]
    if not quick and (first <= LONG or cls.same_calls or len(sys.modules) > modules + IMPORTED):
        if cls.warm_up:
            seconds.clear()
        while len(seconds) < cls.repeats:
            more_seconds, result = timed()
            seconds.append(more_seconds)
    return dict(seconds=seconds, peak_mb=memory.peak_mb(), peak_device_mb=device_memory.peak_mb(), result=result)


def main() -> None:
    """One process of `run_benchmark`."""
    parser = argparse.ArgumentParser()
    parser.add_argument('module')
    parser.add_argument('name')
    parser.add_argument('side', choices=('ours', 'baseline', 'details', 'measure'))
    parser.add_argument('out', type=Path)
    parser.add_argument('settings', type=json.loads)
    args = parser.parse_args()
    args.out.write_bytes(pickle.dumps(measure(get_benchmark(args.name, args.module), args.side, **args.settings)))


if __name__ == '__main__':
    main()
