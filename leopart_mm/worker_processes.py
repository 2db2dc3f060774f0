"""Worker processes for numbers that must not depend on how many of them there are."""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import torch

Item = TypeVar('Item')
Result = TypeVar('Result')
AHEAD = 4  # items per worker that are read before their turn: memory stays flat, and no worker waits

_work: Callable[[Any], Any] | None = None


def cpu_count() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


class Workers:
    """Applies a function to items, in order, in this process or in several others.

    Each works with one thread of torch, as this process does here, so that the number of workers changes no number.
    Workers end when this process does, also by SIGKILL. On Linux they are forks, and must not use a GPU, unless they
    are started otherwise.

        with Workers(function, 4) as workers:
            for result in workers.map(items):
                ...

    Args:
        function: Item to result; it is handed to the workers a single time.
        number: How many processes; 0 works in this one.
        method: How processes start, see `multiprocessing`; None: 'fork' on Linux, else 'spawn'. Spawned ones work
            beside CUDA; a script that uses them must keep its work below ``if __name__ == '__main__':``.
        ahead: Items per worker that are read before their turn.
    """

    def __init__(self, function: Callable[[Any], Any], number: int, method: str | None = None,
                 ahead: int = AHEAD) -> None:
        self.function = function
        self.number = number
        self.ahead = ahead
        self._pool = None
        if number > 0:
            context = multiprocessing.get_context(method or ('fork' if sys.platform == 'linux' else 'spawn'))
            self._pool = ProcessPoolExecutor(number, context, _start_worker, (function, os.getpid()))
            self._pool.submit(int).result()  # start now

    def map(self, items: Iterable[Item]) -> Iterator[Result]:
        """Results in the order of the items, of which few are read before their turn.

        Raises:
            RuntimeError: If a worker was ended from outside.
        """
        if self._pool is None:
            for item in items:
                threads = torch.get_num_threads()
                torch.set_num_threads(1)
                try:
                    result = self.function(item)
                finally:
                    torch.set_num_threads(threads)
                yield result
            return
        running: deque = deque()
        try:
            for item in items:
                running.append(self._pool.submit(_run, pickle.dumps(item)))
                if len(running) > self.ahead * self.number:
                    yield pickle.loads(running.popleft().result())
            while running:
                yield pickle.loads(running.popleft().result())
        except BrokenProcessPool as error:
            raise RuntimeError('A worker process was ended from outside: mostly the system does this where memory runs '
                               'out. Take fewer workers (--workers), and run the same command again.') from error
        finally:
            for future in running:
                future.cancel()

    def __enter__(self) -> 'Workers':
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _start_worker(function: Callable[[Any], Any], parent: int) -> None:
    global _work
    _work = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; this one's parent ends it
    torch.set_num_threads(1)
    threading.Thread(target=_end_with, args=(parent, ), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _run(item: bytes) -> bytes:
    # As bytes: between processes torch would pass every tensor as an open file.
    return pickle.dumps(_work(pickle.loads(item)))
