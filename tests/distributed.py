"""Run a function on several gloo processes: ``run_distributed(fn, 2, *args)`` returns the results in order of rank.

The processes of a world size are spawned once and kept for the whole test run, since importing torch in them takes
seconds. ``fn`` must be importable (defined at module level) and its arguments and results picklable; inside it,
``torch.distributed`` is initialised. If a process raises or hangs, all of them are stopped and the test fails with the
traceback of the first that raised.
"""

import atexit
import os
import pickle
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

_POOLS: dict[int, '_Pool'] = {}


def run_distributed(fn: Callable, world_size: int = 2, *args: Any, timeout: float = 120.) -> list:
    """Call ``fn(*args)`` on `world_size` processes and return their results, rank 0 first.

    Raises:
        RuntimeError: if a process raised, died, or gave no answer within `timeout` seconds.
    """
    pool = _POOLS.get(world_size)
    if pool is None:
        pool = _POOLS[world_size] = _Pool(world_size)
    try:
        return pool.run(fn, args, timeout)
    except BaseException:
        _POOLS.pop(world_size).close()
        raise


class _Pool:

    def __init__(self, world_size: int) -> None:
        context = mp.get_context('spawn')
        self.folder = tempfile.TemporaryDirectory(prefix='leopart_mm_gloo_')
        store = os.path.join(self.folder.name, 'store')
        self.pipes: list[Connection] = []
        self.processes = []
        for rank in range(world_size):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there, rank, world_size, store), daemon=True)
            process.start()
            there.close()
            self.pipes.append(here)
            self.processes.append(process)

    def run(self, fn: Callable, args: tuple, timeout: float) -> list:
        job = pickle.dumps((fn, args))
        for pipe in self.pipes:
            pipe.send_bytes(job)
        results: dict[int, Any] = {}
        deadline = time.monotonic() + timeout
        while len(results) < len(self.pipes):
            waiting = [pipe for rank, pipe in enumerate(self.pipes) if rank not in results]
            ready = wait(waiting, max(0., deadline - time.monotonic()))
            if not ready:
                ranks = [rank for rank in range(len(self.pipes)) if rank not in results]
                raise RuntimeError(f'{fn.__name__}: no answer from rank(s) {ranks} within {timeout:g} s')
            for pipe in ready:
                rank = self.pipes.index(pipe)
                results[rank] = self._receive(pipe, rank, fn)
        return [results[rank] for rank in range(len(self.pipes))]

    def _receive(self, pipe: Connection, rank: int, fn: Callable) -> Any:
        try:
            ok, result = pickle.loads(pipe.recv_bytes())
        except EOFError:
            raise RuntimeError(f'{fn.__name__}: the process of rank {rank} died') from None
        if not ok:
            raise RuntimeError(f'{fn.__name__} raised on rank {rank}:\n{result}')
        return result

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()
        self.folder.cleanup()


def _serve(pipe: Connection, rank: int, world_size: int, store: str) -> None:
    torch.set_num_threads(1)
    # What MMEngine reads to find out that it is distributed.
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world_size))
    dist.init_process_group(
        'gloo', init_method=f'file://{store}', rank=rank, world_size=world_size, timeout=timedelta(seconds=60))
    while True:
        try:
            fn, args = pickle.loads(pipe.recv_bytes())
        except (EOFError, KeyboardInterrupt):
            return
        except Exception:
            pipe.send_bytes(pickle.dumps((False, traceback.format_exc())))
            continue
        try:
            answer = True, fn(*args)
        except Exception:
            answer = False, traceback.format_exc()
        pipe.send_bytes(pickle.dumps(answer))


@atexit.register
def _close_all() -> None:
    for pool in _POOLS.values():
        pool.close()
    _POOLS.clear()
