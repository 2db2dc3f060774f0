"""Sorting networks: fixed lists of comparators that sort any n values."""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

Comparator = tuple[int, int]
Layer = tuple[Comparator, ...]

KINDS = ('bitonic', 'odd_even')
# Up to this size the published bitonic network is verified on every input that can matter.
MAX_VERIFIED_SIZE = 256


@dataclass(frozen=True)
class SortingNetwork:
    """Comparators that sort n values, smallest first (docs/methods/neco.md §4.1).

    Args:
        kind: 'bitonic' or 'odd_even'.
        size: n, number of wires.
        layers: Comparators (lo, hi) on disjoint wires; wire lo receives the smaller value, wire hi the larger.
        ranks: The wire that holds rank 0 (the smallest value), 1, ... after the last layer.
    """

    kind: str
    size: int
    layers: tuple[Layer, ...]
    ranks: tuple[int, ...]

    @property
    def num_comparators(self) -> int:
        """Comparators in all layers."""
        return sum(len(layer) for layer in self.layers)

    def arrangements(self) -> list[tuple[int, list[int]]]:
        """The network with its wires reordered before each layer, so that a layer works on whole blocks.

        Returns:
            For every layer (c, order): after wires were taken in this order of the arrangement before, comparator i
            works on places i (lo) and c + i (hi).
        """
        place, steps = {wire: wire for wire in range(self.size)}, []
        for layer in self.layers:
            busy = [lo for lo, _ in layer] + [hi for _, hi in layer]
            wires = busy + sorted(set(range(self.size)) - set(busy))
            steps.append((len(layer), [place[wire] for wire in wires]))
            place = {wire: index for index, wire in enumerate(wires)}
        return steps


@lru_cache(maxsize=64)
def sorting_network(kind: str, size: int, published: bool = False) -> SortingNetwork:
    """A network for `size` values.

    The published bitonic construction leaves out comparators with wires beyond `size`. So it fails to sort 22, 38, 42
    to 46 and 54 values, and others above 64. By default it is taken where it sorts; elsewhere the bitonic
    network of the next power of two is, in which the wires beyond hold minus infinity.

    Args:
        kind: 'bitonic', about log2(n)² / 2 layers, or 'odd_even', n layers.
        size: n >= 1.
        published: Whether the published bitonic network is taken even where it does not sort.

    Raises:
        ValueError: If the kind is unknown or the size not positive.

    >>> [len(sorting_network(kind, 8).layers) for kind in ('bitonic', 'odd_even')]
    [6, 8]
    """
    if kind not in KINDS:
        raise ValueError(f'network={kind!r} is unknown; choose one of {KINDS}')
    if size < 1:
        raise ValueError(f'A sorting network needs at least 1 wire, but got size={size}')
    wires = tuple(range(size))
    if kind == 'odd_even':
        layers = tuple(tuple((i, i + 1) for i in range(layer % 2, size - 1, 2)) for layer in range(size))
        return SortingNetwork(kind, size, layers, wires)
    network = SortingNetwork(kind, size, _bitonic_without(size), wires)
    complete = size & (size - 1) == 0  # a power of two: no wire beyond
    if published or complete or (size <= MAX_VERIFIED_SIZE and sorts(network)):
        return network
    return SortingNetwork(kind, size, *_bitonic_padded(size))


def _full_bitonic(size: int) -> list[Layer]:
    """The bitonic network of the next power of two."""
    blocks = math.ceil(math.log2(size))
    layers = []
    for block in range(blocks):
        for step in range(block + 1):
            stride = 2**(block - step)
            lower = [wire for wire in range(2**blocks) if wire % (2 * stride) < stride]
            layers.append(tuple(
                (wire, wire + stride) if (wire >> (block + 1)) % 2 == 0 else (wire + stride, wire) for wire in lower))
    return layers


def _bitonic_without(size: int) -> tuple[Layer, ...]:
    """The bitonic network less all comparators with one of the first, imaginary wires."""
    layers = _full_bitonic(size)
    imaginary = 2**math.ceil(math.log2(size)) - size
    return tuple(
        tuple((lo - imaginary, hi - imaginary) for lo, hi in layer if min(lo, hi) >= imaginary) for layer in layers)


def _bitonic_padded(size: int) -> tuple[tuple[Layer, ...], tuple[int, ...]]:
    """Layers and ranks of the bitonic network whose imaginary wires hold minus infinity.

    Where minus infinity meets a value is known beforehand. The value goes to the upper wire: this is a relabelling of
    wires, not a comparator.
    """
    imaginary = 2**math.ceil(math.log2(size)) - size
    holds: list[int | None] = [None] * imaginary + list(range(size))  # the real wire at each place
    layers = []
    for layer in _full_bitonic(size):
        comparators = []
        for lo, hi in layer:
            if holds[lo] is not None and holds[hi] is not None:
                comparators.append((holds[lo], holds[hi]))
            elif holds[lo] is not None:
                holds[lo], holds[hi] = None, holds[lo]
        layers.append(tuple(comparators))
    return tuple(layers), tuple(wire for wire in holds if wire is not None)


def sorts(network: SortingNetwork) -> bool:
    """Whether a network sorts every input: it does if it sorts all inputs of 0 and 1.

    Parts of the network that no comparator has joined yet are independent, and each knows only the few patterns of 0
    and 1 that its layers let through. That makes bitonic networks cheap to test; odd-even ones are not.
    """
    parts = {wire: ([wire], {(0, ), (1, )}) for wire in range(network.size)}
    for layer in network.layers:
        for lo, hi in layer:
            if parts[lo] is not parts[hi]:
                _join(parts, lo, hi)
        for wires, patterns in {id(part): part for part in parts.values()}.values():
            place = {wire: index for index, wire in enumerate(wires)}
            comparators = [(place[lo], place[hi]) for lo, hi in layer if lo in place]
            compared = {_compared(pattern, comparators) for pattern in patterns}
            patterns.clear()
            patterns.update(compared)
    if any(part is not parts[0] for part in parts.values()):
        return False
    wires, patterns = parts[0]
    order = [wires.index(wire) for wire in network.ranks]
    return all(list(ranked) == sorted(ranked) for ranked in ([pattern[i] for i in order] for pattern in patterns))


def _join(parts: dict, a: int, b: int) -> None:
    (first, left), (second, right) = parts[a], parts[b]
    joined = [*first, *second], {x + y for x, y in product(left, right)}
    parts.update(dict.fromkeys(joined[0], joined))


def _compared(pattern: tuple[int, ...], comparators: list[Comparator]) -> tuple[int, ...]:
    values = list(pattern)
    for lo, hi in comparators:
        if values[lo] > values[hi]:
            values[lo], values[hi] = values[hi], values[lo]
    return tuple(values)
