"""The sort and cross-entropy of NeCo: ours beside the published way, forward and backward, float32."""

import time
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from leopart_mm.benchmarks.base import Benchmark, benchmark
from leopart_mm.benchmarks.memory import PeakMemory

STEEPNESS = 100.
# The rows of all 10 crop pairs of this many images go through one call, as in a step.
PAIRS = 10


class NeCoSort(Benchmark):
    """A number of references; subclasses choose it."""

    rounds = 3
    repeats = 2
    threads = 1
    clock = 'cpu'
    compared = 'loss relative 1e-5, gradient 1e-4 of its largest entry (rounding of both sides, times the steepness)'
    references: ClassVar[int] = 49
    rows: ClassVar[int] = 8 * 49 * PAIRS

    def setup(self, quick: bool) -> None:
        """Similarities of unit vectors, as alike as patches of trained networks are."""
        import torch

        from leopart_mm.models.losses.sorting_networks import sorting_network
        self.network = sorting_network('bitonic', self.references)
        generator = torch.Generator().manual_seed(0)
        self.quick = quick
        shape = 32 if quick else self.rows, self.references
        self.student, self.teacher = (torch.tanh(torch.randn(shape, generator=generator)) for _ in range(2))
        self.student.requires_grad_()

    def ours(self) -> Any:
        """The gradient in closed form, in chunks."""
        from leopart_mm.models.losses.sorted_cross_entropy import sorted_cross_entropy
        loss = sorted_cross_entropy(self.student, self.teacher, self.network, STEEPNESS)[0].mean()
        return self._finish(loss)

    def baseline(self) -> Any:
        """Dense matrices under autograd."""
        from leopart_mm.benchmarks.published_neco import dense_cross_entropy, dense_layers
        return self._finish(dense_cross_entropy(self.student, self.teacher, dense_layers(self.network), STEEPNESS))

    def _finish(self, loss: Any) -> dict:
        self.student.grad = None
        loss.backward()
        return dict(loss=loss.item(), gradient=self.student.grad.numpy())

    def same(self, ours: dict, baseline: dict) -> bool:
        """Same loss and gradient."""
        wanted = baseline['gradient']
        return bool(
            abs(ours['loss'] - baseline['loss']) <= 1e-5 * abs(baseline['loss'])
            and np.abs(ours['gradient'] - wanted).max() <= 1e-4 * np.abs(wanted).max())

    def details(self) -> list[str]:
        """Every number of references, both sides in this one process, and what they keep for the backward pass."""
        lines = ['  references  rows   seconds ours / baseline      peak MB ours / baseline   kept kB a row   same']
        for cls in (NeCoSort9, NeCoSort49, NeCoSort98, NeCoSort196):
            work = cls()
            work.setup(self.quick)
            (ours, a), (baseline, b) = (_measured(side) for side in (work.ours, work.baseline))
            work.setup(quick=True)
            kept = [_kept(side) / len(work.student) / 1000 for side in (work.ours, work.baseline)]
            lines.append(
                f'  {cls.references:10d} {len(a["gradient"]):5d}   {ours[0]:7.3f} / {baseline[0]:7.3f} '
                f'({baseline[0] / ours[0]:4.1f}x)  {ours[1]:7.0f} / {baseline[1]:7.0f} ({ours[1] / baseline[1]:.3f}x)  '
                f'{kept[0]:5.2f} / {kept[1]:5.0f}   {"yes" if self.same(a, b) else "NO"}')
        return lines


def _measured(side: Callable) -> tuple[tuple[float, float], dict]:
    """(Seconds of processor time of a second call, MB of the first), and the result."""
    memory = PeakMemory()
    side()
    peak, start = memory.peak_mb(), time.process_time()
    result = side()
    return (time.process_time() - start, max(peak, 0.1)), result


def _kept(side: Callable) -> int:
    """Bytes of the tensors that autograd keeps for the backward pass."""
    import torch

    storages: dict[int, int] = {}
    held = []

    def keep(one: torch.Tensor) -> torch.Tensor:
        held.append(one)  # so that no address is used twice
        storages[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
        return one

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one):
        side()
    return sum(storages.values())


@benchmark('neco-sort')
class NeCoSort49(NeCoSort):
    """49 references (NeCo's kernel 7), 10 crop pairs of 8 images: sort, cross-entropy, gradient; also 9, 98, 196."""


@benchmark('neco-sort-9')
class NeCoSort9(NeCoSort):
    """As neco-sort with 9 references (kernel 3)."""

    references = 9
    rows = 8 * 49 * PAIRS * 4


@benchmark('neco-sort-98')
class NeCoSort98(NeCoSort):
    """As neco-sort with 98 references and a quarter of the rows."""

    references = 98
    rows = 2 * 49 * PAIRS


@benchmark('neco-sort-196')
class NeCoSort196(NeCoSort):
    """As neco-sort with 196 references (kernel 14) and a sixteenth of the rows."""

    references = 196
    rows = 49 * PAIRS // 2
