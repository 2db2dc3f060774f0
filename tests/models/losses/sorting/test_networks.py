"""Sorting networks sort, for every size."""

import random

import pytest

from leopart_mm.models.losses.sorting.networks import sorting_network, sorts

DO_NOT_SORT = {22, 38, 42, 43, 44, 45, 46, 54}  # docs/methods/neco.md §4.1


def hard_sorted(network, values):
    values = list(values)
    for layer in network.layers:
        assert len({wire for pair in layer for wire in pair}) == 2 * len(layer), 'comparators share a wire'
        for lo, hi in layer:
            if values[lo] > values[hi]:
                values[lo], values[hi] = values[hi], values[lo]
    return [values[wire] for wire in network.ranks]


@pytest.mark.parametrize('kind', ['bitonic', 'odd_even'])
@pytest.mark.parametrize('size', [*range(1, 70), 98, 196, 300])
def test_every_size_is_sorted(kind, size):
    rng = random.Random(size)
    network = sorting_network(kind, size)
    for _ in range(20):
        values = rng.sample(range(size), size)
        assert hard_sorted(network, values) == sorted(values)


def test_the_test_finds_the_published_networks_that_do_not_sort():
    assert {size for size in range(2, 66) if not sorts(sorting_network('bitonic', size, published=True))} == DO_NOT_SORT
    assert all(sorts(sorting_network('odd_even', size)) for size in range(2, 8))
    unfinished = sorting_network('odd_even', 6)
    assert not sorts(type(unfinished)('odd_even', 6, unfinished.layers[:-1], unfinished.ranks))


def test_where_the_published_network_sorts_it_is_taken():
    for size in range(2, 66):
        ours, published = sorting_network('bitonic', size), sorting_network('bitonic', size, published=True)
        assert (ours == published) == (size not in DO_NOT_SORT)


@pytest.mark.parametrize(('size', 'bitonic', 'odd_even'), [
    (4, (3, 6), (4, 6)), (9, (10, 37), (9, 36)), (16, (10, 80), (16, 120)), (25, (15, 171), (25, 300)),
    (36, (21, 346), (36, 630)), (49, (21, 483), (49, 1176)), (64, (21, 672), (64, 2016))])
def test_numbers_of_layers_and_comparators(size, bitonic, odd_even):
    for kind, expected in (('bitonic', bitonic), ('odd_even', odd_even)):
        network = sorting_network(kind, size)
        assert (len(network.layers), network.num_comparators) == expected


@pytest.mark.parametrize('size', [7, 22, 49])
def test_arrangements_put_compared_wires_into_blocks(size):
    network = sorting_network('bitonic', size)
    wires = list(range(size))
    for (count, order), layer in zip(network.arrangements(), network.layers, strict=True):
        wires = [wires[place] for place in order]
        assert sorted(wires) == list(range(size))
        assert list(zip(wires[:count], wires[count:2 * count], strict=True)) == list(layer)


def test_what_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"choose one of.*'bitonic'"):
        sorting_network('quick', 4)
    with pytest.raises(ValueError, match='size=0'):
        sorting_network('bitonic', 0)
