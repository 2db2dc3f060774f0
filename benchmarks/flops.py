"""Floating-point operations of a step, and how many the machine does per second in matrix products: their ratio is the
share of the machine that a step uses (MFU)."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

aten = torch.ops.aten
# One of them is the machine's best; larger ones take a GPU to fill.
SIDES = dict(cpu=(512, 1024, 2048), cuda=(4096, 8192))


def counted_flops(work: Callable[..., Any], *args: Any) -> int:
    """Operations of all matrix products, convolutions and attentions of a call, forward and backward; it is run once.

    Two per multiply-add, as torch's `FlopCounterMode` counts them. The backward pass of an attention counts twice its
    forward pass on every device: what a fused kernel recomputes is no work of the model. What checkpointing recomputes
    is counted, so count a step without it. The count is proportional to the batch; count a small one, and not a
    compiled one, whose operations torch does not see.

    >>> a, b = torch.ones(2, 3), torch.ones(3, 4)
    >>> counted_flops(torch.mm, a, b)
    48
    """
    with FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
        work(*args)
    return counter.get_total_flops()


def _forward(query: torch.Size, key: torch.Size, value: torch.Size, *args: Any, out_shape: Any = None,
             **kwargs: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _backward(gradient: torch.Size, query: torch.Size, key: torch.Size, value: torch.Size, *args: Any,
              out_shape: Any = None, **kwargs: Any) -> int:
    return 2 * sdpa_flop_count(query, key, value)


# torch has no formula for the attention of CPUs.
ATTENTION = {
    getattr(aten, f'_scaled_dot_product_{kernel}{suffix}'): formula
    for kernel in ('flash_attention', 'efficient_attention', 'cudnn_attention', 'flash_attention_for_cpu')
    for suffix, formula in (('', _forward), ('_backward', _backward))
    if hasattr(aten, f'_scaled_dot_product_{kernel}{suffix}')
}


def gemm_rate(device: str | torch.device = 'cpu', dtype: torch.dtype = torch.float32, seconds: float = 1.,
              clock: Callable[[], float] = time.perf_counter, sides: Sequence[int] | None = None) -> float:
    """Operations per second of the fastest square matrix product, the best of a few sizes.

    Args:
        device: Where.
        dtype: Of the matrices. On a GPU float32 runs as `torch.backends.cuda.matmul` is set (TF32 or not).
        seconds: Time per size.
        clock: What counts as time on a CPU; `time.process_time` does not see other programs, and is right with one
            thread.
        sides: Rows and columns of the matrices; by default those of `SIDES`.
    """
    device, best = torch.device(device), 0.
    for side in sides or SIDES.get(device.type, SIDES['cuda']):
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        out, times, end = torch.empty_like(a), [], time.perf_counter() + seconds
        torch.mm(a, b, out=out)  # the first call chooses a kernel
        while len(times) < 3 or time.perf_counter() < end:
            times.append(timed(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), device, clock))
        best = max(best, 2 * side**3 / statistics.median(times))
    return best


def timed(work: Callable[[], Any], device: torch.device, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of a call, until its device has done all of it; a GPU's own clock measures them on a GPU."""
    if device.type != 'cuda':
        start = clock()
        work()
        return clock() - start
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    with torch.cuda.device(device):
        start.record()
        work()
        end.record()
        end.synchronize()
    return start.elapsed_time(end) / 1000
