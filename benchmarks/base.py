"""What a benchmark is: our way and the published way of one thing, side by side; or figures of our way alone.

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
`warm_up`), then `repeats` times; a call of more than `LONG` seconds is its own warm-up and is not repeated. Reported
are the median time of a call over all rounds, and the median over rounds of the peak of resident (host) memory, and of
the device's memory, above its level after `setup`.

Where there is nothing to compare with, as with images per second of a whole training, it is a `Measurement`::

    @benchmark('scaling')
    class Scaling(Measurement):
        '''One line.'''

        def setup(self, quick):         # as above
        def measure(self):              # runs and times the work itself; returns a `Report`: tables and figures

Both know their ``device`` and whether the ``full`` size is asked for, and may have ``options`` (``chosen`` holds their
values). Import heavy or optional packages inside the methods: listing the benchmarks imports every module.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

LONG = 5.
"""Seconds; a call that takes longer is neither warmed up nor repeated within its process."""
BUDGET = 150.
"""Seconds after which no further round begins, unless the full size is measured."""


class Option(NamedTuple):
    """A choice of the user, ``--options KEY=VALUE``; its type is that of the default."""

    default: Any
    help: str
    choices: tuple = ()


@dataclass(frozen=True)
class Settings:
    """How a benchmark is run.

    Args:
        quick: Tiny inputs and one round, for tests.
        full: The size of real use, where the default is smaller.
        device: Device of both sides, as torch names it.
        options: Values of the benchmark's options.
        brief: One round and no details.
        threads: Threads of both sides instead of the benchmark's own number; None: that one.
    """

    quick: bool = False
    full: bool = False
    device: str = 'cpu'
    options: Mapping[str, Any] = field(default_factory=dict)
    brief: bool = False
    threads: int | None = None


class Entry:
    """What both kinds of benchmarks share; instances are made by `prepared`."""

    devices: ClassVar[tuple[str, ...]] = ('cpu', )
    """Types of devices that it can run on; 'cuda' among them if inputs and work go to `device`."""
    full_size: ClassVar[str] = ''
    """What ``full`` measures, in words, for the list; '' if there is one size."""
    options: ClassVar[dict[str, Option]] = {}
    """Choices of the user by name."""
    expected: ClassVar[float] = 30.
    """About how many seconds a brief run takes on two cores, by which tools/gpu_check.py plans."""
    threads: ClassVar[int | None] = None
    """Threads of torch, OpenMP and OpenCV on all sides; None leaves the machine's default."""
    ours_env: ClassVar[dict[str, str]] = {}
    """Environment variables of our processes, such as allocator settings which our tools set as well."""

    device: str = 'cpu'
    full: bool = False
    chosen: Mapping[str, Any] = {}

    def setup(self, quick: bool) -> None:
        """Prepare inputs as attributes; ``quick``: tiny ones, for tests; ``self.full``: those of real use."""

    @classmethod
    def prepared(cls, settings: Settings) -> 'Entry':
        """An instance on which `setup` has run."""
        work = cls()
        work.device, work.full = settings.device, settings.full
        work.chosen = {**{name: option.default for name, option in cls.options.items()}, **settings.options}
        work.setup(settings.quick)
        return work


class Benchmark(Entry):
    """Ours beside a baseline; see the module."""

    rounds: ClassVar[int] = 3
    """Processes per side (1 with --quick)."""
    repeats: ClassVar[int] = 3
    """Measured calls per process (1 with --quick)."""
    warm_up: ClassVar[bool] = True
    """Whether a process calls its side once, unmeasured in time, before."""
    same_calls: ClassVar[bool] = False
    """Whether long calls are warmed up and repeated too: the result depends on their number, or the first one starts
    processes that stay."""
    clock: ClassVar[str] = 'wall'
    """'wall', or 'cpu': seconds of processor time, for throughput per core: the same on an idle machine, but right on a
    busy one too. With several threads, and on another device than the CPU, the time is always that on the wall."""
    baseline_env: ClassVar[dict[str, str]] = {}
    """Environment variables of the baseline's processes."""
    compared: ClassVar[str] = ''
    """What `same` compares, in a few words, for the printed table."""

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


class Table(NamedTuple):
    """Rows of text and numbers under names of columns."""

    title: str
    columns: list[str]
    rows: list[list[Any]]


class Report(NamedTuple):
    """What a measurement found: tables to print, single figures by name, further lines."""

    tables: list[Table]
    figures: dict[str, float]
    lines: list[str] = []


class Measurement(Entry):
    """Figures of our way alone; see the module."""

    def measure(self) -> Report:
        """Do the work and time it."""
        raise NotImplementedError


BENCHMARKS: dict[str, type[Entry]] = {}


def benchmark(name: str) -> Any:
    """Class decorator that makes a benchmark known under a name."""

    def register(cls: type[Entry]) -> type[Entry]:
        if name in BENCHMARKS and BENCHMARKS[name].__module__ != cls.__module__:
            raise KeyError(f'two benchmarks are called {name!r}: {BENCHMARKS[name].__module__} and {cls.__module__}')
        BENCHMARKS[name] = cls
        return cls

    return register


def load_benchmarks() -> dict[str, type[Entry]]:
    """Import every module of this folder and return the benchmarks by name."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f'benchmarks.{module.name}')
    return dict(sorted(BENCHMARKS.items()))


def get_benchmark(name: str, module: str | None = None) -> type[Entry]:
    """The benchmark of this name.

    Args:
        name: As `tools/benchmark.py --list` prints it.
        module: The module that defines it, if that is known: then no other is imported.

    Raises:
        SystemExit: If there is none; the message names all.
    """
    if module is not None:
        importlib.import_module(module)
        return BENCHMARKS[name]
    known = load_benchmarks()
    if name not in known:
        raise SystemExit(f'There is no benchmark {name!r}; there are: {", ".join(known)}')
    return known[name]


def checked(name: str, cls: type[Entry], settings: Settings) -> Settings:
    """The settings with options of the right types.

    Raises:
        ValueError: If the benchmark cannot run so; the message says what it can.
    """
    import torch

    from leopart_mm.engine.options import interpret
    kind = torch.device(settings.device).type
    if kind not in cls.devices:
        raise ValueError(f"The benchmark '{name}' measures work that has no path on {kind}: leave --device out (it "
                         f'runs on {", ".join(cls.devices)}).')
    if kind == 'cuda' and not torch.cuda.is_available():
        raise ValueError(f'--device {settings.device}: torch sees no CUDA device; python tools/doctor.py says why.')
    options = {}
    for key, value in settings.options.items():
        if key not in cls.options:
            known = ', '.join(cls.options) or 'none'
            raise ValueError(f"The benchmark '{name}' has no option '{key}'; it has: {known}.")
        option = cls.options[key]
        value = interpret(key, value, option.default)
        if isinstance(option.default, float) and isinstance(value, int):
            value = float(value)
        if isinstance(option.default, str):
            value = str(value)
        if type(value) is not type(option.default) or (option.choices and value not in option.choices):
            wanted = ', '.join(map(str, option.choices)) or type(option.default).__name__
            raise ValueError(f"--options {key}={value}: '{name}' takes {wanted}.")
        options[key] = value
    if settings.threads is not None and settings.threads < 1:
        raise ValueError(f'--threads {settings.threads}: at least one thread computes.')
    return replace(settings, options=options)
