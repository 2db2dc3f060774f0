"""The device of a benchmark: its name, waiting for it, times on it, and the peak of its memory."""

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def synchronise(device: torch.device | str) -> None:
    """Wait until all work given to a device is done; on the CPU it always is."""
    kind = torch.device(device).type
    if kind == 'cuda':
        torch.cuda.synchronize(device)
    elif kind == 'mps':
        torch.mps.synchronize()


def clock_of(device: torch.device | str) -> Callable[[], float]:
    """Processor time where one thread of the CPU computes, which other load does not change; else that on the wall."""
    alone = torch.device(device).type == 'cpu' and torch.get_num_threads() == 1
    return time.process_time if alone else time.perf_counter


def least_time(call: Callable[[], Any], times: int, device: torch.device | str = 'cpu') -> tuple[float, Any]:
    """The least of the times of some calls, by `clock_of` its device, and the last result."""
    clock, found = clock_of(device), []
    for _ in range(times):
        synchronise(device)
        start = clock()
        result = call()
        synchronise(device)
        found.append(clock() - start)
    return min(found), result


class PeakDeviceMemory:
    """Peak of the memory of torch's tensors on a CUDA device, above their level at the time of creation."""

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self.counts = self.device.type == 'cuda'
        if self.counts:
            synchronise(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            self.before = torch.cuda.memory_allocated(self.device)

    def peak_mb(self) -> float | None:
        """MB (2^20 bytes) by which it grew at most since then; None on other devices."""
        return (torch.cuda.max_memory_allocated(self.device) - self.before) / 2**20 if self.counts else None


def processor_name() -> str:
    """The CPU as Linux names it, else what Python knows of it."""
    cpuinfo = Path('/proc/cpuinfo')
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()


def describe_machine(device: torch.device | str = 'cpu') -> dict[str, Any]:
    """What a figure depends on.

    Returns:
        "device" (name of the card or the CPU), "type", "threads" (of torch), "torch" (its version), "cuda" (the
        version that torch was built for, or None).
    """
    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else processor_name()
    return dict(device=name, type=device.type, threads=torch.get_num_threads(), torch=torch.__version__,
                cuda=torch.version.cuda)
