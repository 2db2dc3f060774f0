"""Sort softly and compare the permutations: NeCo's loss with its gradient in closed form.

A comparator (lo, hi) of a layer takes values x and the permutation's columns P to (docs/methods/neco.md §4.4)

    d = x_hi - x_lo            x_lo' = x_hi - alpha d             x_hi' = x_lo + alpha d        alpha = relaxation(d)
    D = P_lo - P_hi            P_lo' = P_hi + alpha D             P_hi' = P_lo - alpha D

and, with G = dL/dP' and g = dL/dx' of the layer's results, the gradients of what it was given are

    q = (sum_items (G_lo - G_hi) D + (g_hi - g_lo) d) d_alpha/d_d + alpha (g_hi - g_lo)
    dL/dP_lo = G_hi + alpha (G_lo - G_hi)                 dL/dP_hi = G_lo - alpha (G_lo - G_hi)
    dL/dx_lo = g_hi - q                                   dL/dx_hi = g_lo + q

starting behind the last layer from G = -Q / (n P) and g = 0, for the loss L = -sum Q log P / n. It depends on nothing
but the similarities of its row. So the gradient is computed together with the loss, in chunks of rows, and the backward
pass only scales it: n numbers per row are kept for it instead of every layer's permutation matrices. Values and
matrices have the wires in front: the wires that a layer compares are whole blocks of memory, see
`SortingNetwork.arrangements`.
"""

import functools
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from leopart_mm.devices import to_device
from leopart_mm.models.losses.sorting.networks import SortingNetwork
from leopart_mm.models.losses.sorting.relaxations import RELAXATIONS, check_relaxation

# Bytes of intermediate results that a chunk of rows may keep. On a CPU they should stay near its caches.
CHUNK_BYTES = dict(cpu=16 << 20, cuda=1 << 30)


@torch.compiler.disable  # to unroll all layers into one graph would take minutes; `compiled` has graphs of its own
def sorted_cross_entropy(student: Tensor,
                         teacher: Tensor,
                         network: SortingNetwork,
                         student_steepness: float,
                         teacher_steepness: float | None = None,
                         relaxation: str = 'cauchy',
                         chunk: int | None = None,
                         compiled: bool | None = None) -> tuple[Tensor, Tensor]:
    """Cross-entropy of soft permutations, row by row (docs/methods/neco.md §3.5, §4).

    Equal to `permutation_cross_entropy` of two `soft_sort`. Everything is float32 (or float64), also under autocast.

    Args:
        student: (R, n) similarities; they get the gradient.
        teacher: (R, n) similarities, without gradient.
        network: A network for n values.
        student_steepness: Steepness of the student's sort, > 0.
        teacher_steepness: Steepness of the teacher's sort. Defaults to the student's.
        relaxation: A name of `RELAXATIONS`.
        chunk: Rows at a time. Defaults to what fits into `CHUNK_BYTES`.
        compiled: Whether `torch.compile` fuses the operations of a layer. Where that fails, a warning says so once and
            plain operations do the work. Defaults to GPUs only; CPUs gain nothing.

    Returns:
        (R,) the cross-entropy of every row, and (R,) the entropy of the teacher's permutation without gradient, both
        divided by n. The former is never below the latter (but for rounding).

    Raises:
        ValueError: If shapes and network do not fit, or the relaxation is unknown.
    """
    if student.shape != teacher.shape or student.dim() != 2 or student.shape[1] != network.size:
        raise ValueError(f'student and teacher must both be (rows, {network.size}), as the network sorts '
                         f'{network.size} values, but are {tuple(student.shape)} and {tuple(teacher.shape)}')
    check_relaxation(relaxation)
    steepness = student_steepness, student_steepness if teacher_steepness is None else teacher_steepness
    with torch.autocast(student.device.type, enabled=False):
        student, teacher = (
            rows.float() if rows.dtype.itemsize < 4 else rows for rows in (student, teacher.detach()))
        chunk = chunk or rows_per_chunk(network, student)
        compiled = student.is_cuda if compiled is None else compiled
        return _SortedCrossEntropy.apply(student, teacher, network, *steepness, relaxation, chunk, compiled)


def rows_per_chunk(network: SortingNetwork, values: Tensor) -> int:
    """Rows whose intermediate results fit into the budget of the device of `values`."""
    matrices = network.num_comparators + 4 * network.size  # differences of all layers, and the working copies
    row_bytes = matrices * network.size * values.element_size()
    return max(1, CHUNK_BYTES.get(values.device.type, CHUNK_BYTES['cpu']) // row_bytes)


class _SortedCrossEntropy(torch.autograd.Function):

    @staticmethod
    def forward(ctx, student: Tensor, teacher: Tensor, network: SortingNetwork, student_steepness: float,
                teacher_steepness: float, relaxation: str, chunk: int, compiled: bool) -> tuple[Tensor, Tensor]:
        want_gradient = ctx.needs_input_grad[0]
        gradient = torch.empty_like(student, memory_format=torch.contiguous_format)
        losses, entropies = student.new_empty(len(student)), student.new_empty(len(student))
        orders = _orders(network, student.device)
        layers = compiled_layers() if compiled else PLAIN
        for start in range(0, len(student), chunk):
            rows = slice(start, start + chunk)
            losses[rows], entropies[rows], slope = _cross_entropy(
                student[rows], teacher[rows], orders, student_steepness, teacher_steepness, relaxation, want_gradient,
                layers)
            if want_gradient:
                gradient[rows] = slope
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(entropies)
        return losses, entropies

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_losses: Tensor, _: Tensor) -> tuple:
        gradient, = ctx.saved_tensors
        return (gradient * grad_losses[:, None], *[None] * 7)


@functools.lru_cache(maxsize=64)
def _orders(network: SortingNetwork, device: torch.device) -> tuple[tuple[int, Tensor, Tensor], ...]:
    """For each layer the number of comparators, the new order of the wires, and its inverse."""
    return tuple((count, *(to_device(places, device) for places in (order, order.argsort())))
                 for count, order in ((count, torch.tensor(order)) for count, order in network.arrangements()))


def _cross_entropy(student: Tensor, teacher: Tensor, orders: tuple, student_steepness: float,
                   teacher_steepness: float, relaxation: str, want_gradient: bool,
                   layers: 'LayerFunctions') -> tuple[Tensor, Tensor, Tensor | None]:
    """Cross-entropy (r,), the teacher's entropy (r,) and the former's gradient (r, n) or None, of rows (r, n)."""
    size = student.shape[1]
    floor = torch.finfo(student.dtype).tiny
    # Both permutations end in the arrangement of the last layer; the sum over ranks is invariant to it.
    Q, _ = _sort(teacher, orders, teacher_steepness, relaxation, layers)
    entropy = Q.clamp(min=floor).log_().mul_(Q).sum((0, 2)).div_(-size)
    P, history = _sort(student, orders, student_steepness, relaxation, layers, keep=want_gradient)
    P.clamp_(min=floor)
    loss = P.log().mul_(Q).sum((0, 2)).div_(-size)
    if not want_gradient:
        return loss, entropy, None
    # The clamped logarithm is constant where P is not above its floor.
    above = P.gt(floor)
    G = torch.where(above, Q.div_(P).div_(-size), 0)
    g = G.new_zeros(student.shape[::-1])
    spare = P
    for (count, _, back), kept in zip(reversed(orders), reversed(history), strict=True):
        g = layers.backward(G, g, *kept, count, back, steepness=student_steepness, relaxation=relaxation, spare=spare)
    return loss, entropy, g.T


def _sort(values: Tensor, orders: tuple, steepness: float, relaxation: str, layers: 'LayerFunctions',
          keep: bool = False) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
    """Permutation matrices (n wires, r, n items) of rows (r, n), and what the backward layers need."""
    x = values.T
    P = torch.eye(len(x), dtype=values.dtype, device=values.device)[:, None].repeat(1, len(values), 1)
    spare = torch.empty_like(P)
    history = []
    for count, places, _ in orders:
        x, *kept = layers.forward(P, x, count, places, steepness, relaxation, keep, spare)
        history.append(kept)
    return P, history


def _forward_layer(P: Tensor, x: Tensor, count: int, places: Tensor, steepness: float, relaxation: str, keep: bool,
                   spare: Tensor) -> tuple[Tensor, ...]:
    """One layer; P changes in place. Returns x and, for the backward layer, the differences of P and x, and alpha."""
    sizes = [count, count, len(x) - 2 * count]
    torch.index_select(P, 0, places, out=spare)
    low, high, rest = spare.split(sizes)
    x_low, x_high, x_rest = x[places].split(sizes)
    d = x_high - x_low
    alpha = RELAXATIONS[relaxation].order(d, steepness)
    _mix(low, high, rest, alpha, P)
    x = torch.cat([x_high - alpha * d, x_low + alpha * d, x_rest])
    return (x, low - high, d, alpha) if keep else (x, )


def _backward_layer(G: Tensor, g: Tensor, D: Tensor, d: Tensor, alpha: Tensor, count: int, back: Tensor,
                    steepness: float, relaxation: str, spare: Tensor) -> Tensor:
    """One layer of the gradients of P and x.

    G changes in place, the gradient of x is returned.
    Source: the formulae at the top of this file.
    """
    sizes = [count, count, len(g) - 2 * count]
    low, high, rest = G.split(sizes)
    g_low, g_high, g_rest = g.split(sizes)
    e = g_high - g_low
    d_alpha = D.mul_(low - high).sum(2) + e * d
    q = d_alpha * RELAXATIONS[relaxation].slope(d, steepness, alpha) + alpha * e
    _mix(low, high, rest, alpha, spare)
    torch.index_select(spare, 0, back, out=G)
    return torch.cat([g_high - q, g_low + q, g_rest])[back]


def _mix(low: Tensor, high: Tensor, rest: Tensor, alpha: Tensor, out: Tensor) -> None:
    """alpha low + (1 - alpha) high and the reverse, and what no comparator touches, into `out`."""
    count = len(alpha)
    weight = alpha.unsqueeze(-1)
    torch.lerp(high, low, weight, out=out[:count])
    torch.lerp(low, high, weight, out=out[count:2 * count])
    out[2 * count:] = rest


class LayerFunctions(NamedTuple):
    """What does the work of a layer."""

    forward: Callable[..., tuple[Tensor, ...]]
    backward: Callable[..., Tensor]


PLAIN = LayerFunctions(_forward_layer, _backward_layer)


@functools.cache
def compiled_layers() -> LayerFunctions:
    """The functions of `PLAIN`, compiled at their first call; one that cannot be compiled is replaced by the plain."""
    return LayerFunctions(*(_compiled_or_plain(function) for function in PLAIN))


def _compiled_or_plain(function: Callable) -> Callable:
    chosen = torch.compile(function, dynamic=True)

    @functools.wraps(function)
    def call(*args, **kwargs):
        nonlocal chosen
        if chosen is function:
            return function(*args, **kwargs)
        try:
            return chosen(*args, **kwargs)
        except Exception as error:  # of many kinds: no compiler, no Triton, an unsupported operation
            # Compilation fails before anything has run, so the arguments are as they were.
            chosen = function
            warnings.warn(f'torch.compile of a layer of the sorted cross-entropy failed ({type(error).__name__}): '
                          'plain operations do the work, with the same result', stacklevel=2)
            return function(*args, **kwargs)

    return call
