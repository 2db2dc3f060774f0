"""What a benchmark is: our way and the published way of doing one thing, measured side by side.

A benchmark is a module ``benchmarks/<topic>.py`` with a class::

    @benchmark('multicrop')
    class MultiCrop(Benchmark):
        '''One line that `tools/benchmark.py --list` prints.'''

        def setup(self, quick):         # make the inputs, the same ones for both sides (seeded); not measured
        def ours(self):                 # the work; returns what `same` needs (arrays, numbers, dicts of these)
        def baseline(self):             # the same work in a straightforward implementation of the published way
        def same(self, ours, baseline): # compare two results; runs in a process in which `setup` did not run

Each side runs in processes of its own, alternating (ours, baseline, ours, ...), so that neither sees the other's memory
or caches and both meet the same disturbances. A process calls `setup`, then the side once to warm up (class attribute
`warm_up`), then `repeats` times. Reported are the median time of a call over all rounds, and the median over rounds of
the peak of resident (host) memory above its level after `setup`.

Import heavy or optional packages inside the methods: listing the benchmarks imports every module.
"""

import importlib
import pkgutil
from pathlib import Path
from typing import Any, ClassVar


class Benchmark:
    """Base class; see the module."""

    rounds: ClassVar[int] = 3
    """Processes per side (1 with --quick)."""
    repeats: ClassVar[int] = 3
    """Measured calls per process (1 with --quick)."""
    warm_up: ClassVar[bool] = True
    """Whether a process calls its side once, unmeasured in time, before."""
    threads: ClassVar[int | None] = None
    """Threads of torch, OpenMP and OpenCV on both sides; None leaves the machine's default."""
    clock: ClassVar[str] = 'wall'
    """'wall', or 'cpu': seconds of processor time, for throughput per core (with ``threads = 1`` the same on an idle
    machine, but right on a busy one too)."""
    ours_env: ClassVar[dict[str, str]] = {}
    """Environment variables of our processes, such as allocator settings which our tools set as well."""
    baseline_env: ClassVar[dict[str, str]] = {}
    """Environment variables of the baseline's processes."""
    compared: ClassVar[str] = ''
    """What `same` compares, in a few words, for the printed table."""

    def setup(self, quick: bool) -> None:
        """Prepare inputs as attributes; ``quick``: tiny ones, for tests."""

    def ours(self) -> Any:
        """The work, our way."""
        raise NotImplementedError

    def baseline(self) -> Any:
        """The work, the published way."""
        raise NotImplementedError

    def same(self, ours: Any, baseline: Any) -> bool:
        """Whether both sides gave the same result."""
        raise NotImplementedError

    def details(self) -> list[str]:
        """Further lines to print, such as our time by stage; called after `setup` in a process of its own."""
        return []


BENCHMARKS: dict[str, type[Benchmark]] = {}


def benchmark(name: str) -> Any:
    """Class decorator that makes a benchmark known under a name."""

    def register(cls: type[Benchmark]) -> type[Benchmark]:
        if name in BENCHMARKS and BENCHMARKS[name].__module__ != cls.__module__:
            raise KeyError(f'two benchmarks are called {name!r}: {BENCHMARKS[name].__module__} and {cls.__module__}')
        BENCHMARKS[name] = cls
        return cls

    return register


def load_benchmarks() -> dict[str, type[Benchmark]]:
    """Import every module of this folder and return the benchmarks by name."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f'benchmarks.{module.name}')
    return dict(sorted(BENCHMARKS.items()))


def get_benchmark(name: str) -> type[Benchmark]:
    """The benchmark of this name.

    Raises:
        SystemExit: If there is none; the message names all.
    """
    known = load_benchmarks()
    if name not in known:
        raise SystemExit(f'There is no benchmark {name!r}; there are: {", ".join(known)}')
    return known[name]
