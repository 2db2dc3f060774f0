"""Which share of the machine's rate of matrix products a step reaches."""

import statistics
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.device import clock_of
from benchmarks.flops import counted_flops, gemm_rate, timed


def gemm_share(step: Callable[[], object], device: str = 'cpu', rounds: int = 3,
               dtype: torch.dtype = torch.float32, **rate: Any) -> tuple[float, float, float]:
    """A step's operations per second beside those of the best matrix product, measured in turns.

    Each step is compared with the products before and behind it, so that a slow moment of the machine hits both. On a
    CPU with one thread the time is the processor's, which other programs do not lengthen.

    Args:
        step: The step, warmed up.
        device: Where it runs.
        rounds: Number of turns.
        dtype: Type of the step's matrix products.
        **rate: Arguments of `gemm_rate`.

    Returns:
        The share (median of the turns), the step's operations, and the operations per second of the matrix product
        (median).
    """
    clock = clock_of(device)
    rate = dict(seconds=0.5, clock=clock) | rate
    operations = counted_flops(step)
    rates, shares = [gemm_rate(device, dtype, **rate)], []
    for _ in range(rounds):
        seconds = timed(step, torch.device(device), clock)
        rates.append(gemm_rate(device, dtype, **rate))
        shares.append(operations / seconds / statistics.mean(rates[-2:]))
    return statistics.median(shares), operations, statistics.median(rates)


def share_line(step: Callable[[], object], device: str = 'cpu', rounds: int = 3) -> str:
    """The same in words."""
    share, operations, rate = gemm_share(step, device, rounds)
    return (f'  {share:.1%} of the rate of matrix products: {operations / 1e9:.4g} GFLOP in a step, '
            f'{rate / 1e9:.4g} GFLOP/s in a matrix product')
