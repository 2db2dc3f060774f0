"""The sort and cross-entropy of NeCo: ours beside the published way, forward and backward, float32."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from benchmarks.base import Benchmark, benchmark

STEEPNESS = 100.


class NeCoSort(Benchmark):
    """A number of references; subclasses choose it."""

    rounds = 3
    repeats = 2
    threads = 1
    clock = 'cpu'
    compared = 'loss relative 1e-5, gradient 1e-4 of its largest entry (rounding of both sides, times the steepness)'
    devices = ('cpu', 'cuda')
    references: ClassVar[int] = 49
    rows: ClassVar[int] = 8 * 49 * 10  # images, query cells, crop pairs: all of a step go through one call

    def setup(self, quick: bool) -> None:
        """Similarities of unit vectors, as alike as patches of trained networks are."""
        import torch

        from leopart_mm.models.losses.sorting.networks import sorting_network
        self.network = sorting_network('bitonic', self.references)
        generator = torch.Generator().manual_seed(0)
        shape = 32 if quick else self.rows, self.references
        self.student, self.teacher = (
            torch.tanh(torch.randn(shape, generator=generator)).to(self.device) for _ in range(2))
        self.student.requires_grad_()

    def ours(self) -> Any:
        """The gradient in closed form, in chunks."""
        from leopart_mm.models.losses.sorting.sorted_cross_entropy import sorted_cross_entropy
        loss = sorted_cross_entropy(self.student, self.teacher, self.network, STEEPNESS)[0].mean()
        return self._finish(loss)

    def baseline(self) -> Any:
        """Dense matrices under autograd."""
        from benchmarks.published_neco import dense_cross_entropy, dense_layers
        layers = dense_layers(self.network, self.device)
        return self._finish(dense_cross_entropy(self.student, self.teacher, layers, STEEPNESS))

    def _finish(self, loss: Any) -> dict:
        self.student.grad = None
        loss.backward()
        return dict(loss=loss.item(), gradient=self.student.grad.cpu().numpy())

    def same(self, ours: dict, baseline: dict) -> bool:
        """Same loss and gradient."""
        expected = baseline['gradient']
        return bool(
            abs(ours['loss'] - baseline['loss']) <= 1e-5 * abs(baseline['loss'])
            and np.abs(ours['gradient'] - expected).max() <= 1e-4 * np.abs(expected).max())

    def details(self) -> list[str]:
        """What both sides keep for the backward pass."""
        self.setup(quick=True)
        ours, baseline = (_kept(side) / len(self.student) / 1000 for side in (self.ours, self.baseline))
        return [f'  {len(self.network.layers)} layers, {self.network.num_comparators} comparators; kept for the '
                f'backward pass: {ours:.2f} kB per row, baseline {baseline:.0f} kB']


def _kept(side: Callable) -> int:
    """Bytes of the tensors that autograd keeps for the backward pass."""
    import torch

    storages: dict[int, int] = {}
    held = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        held.append(tensor)  # so that no address is used twice
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        side()
    return sum(storages.values())


@benchmark('neco-sort')
class NeCoSort49(NeCoSort):
    """49 references (NeCo's kernel 7), 10 crop pairs of 8 images: sort, cross-entropy, gradient."""

    expected: ClassVar[float] = 40.


@benchmark('neco-sort-9')
class NeCoSort9(NeCoSort):
    """As neco-sort with 9 references (kernel 3) and four times the rows, once."""

    expected: ClassVar[float] = 25.
    references = 9
    rows = 4 * 3920
    rounds = repeats = 1


@benchmark('neco-sort-98')
class NeCoSort98(NeCoSort):
    """As neco-sort with 98 references and a quarter of the rows, once."""

    expected: ClassVar[float] = 45.
    references = 98
    rows = 980
    rounds = repeats = 1


@benchmark('neco-sort-196')
class NeCoSort196(NeCoSort):
    """As neco-sort with 196 references (kernel 14) and a sixteenth of the rows, once."""

    expected: ClassVar[float] = 55.
    references = 196
    rows = 245
    rounds = repeats = 1
