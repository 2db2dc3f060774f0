"""Taking a part of a data set: the first n samples or a seeded random n."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar('Item')


def take_subset(items: Sequence[Item], num_samples: int | None, seed: int | None = None) -> list[Item]:
    """At most `num_samples` of the items, in their order.

    Args:
        items: All items.
        num_samples: Number of items to take; None, or a number above theirs, takes all.
        seed: None takes the first items, a number a random choice that depends on nothing else.

    Raises:
        ValueError: If `num_samples` is less than 1.

    >>> take_subset('abcd', 2), take_subset('abcd', 2, seed=0)
    (['a', 'b'], ['a', 'c'])
    """
    if num_samples is None:
        return list(items)
    if num_samples < 1:
        raise ValueError(f'num_samples must be at least 1 (or None for all), not {num_samples}.')
    if num_samples >= len(items):
        return list(items)
    if seed is None:
        return list(items[:num_samples])
    chosen = np.sort(np.random.default_rng(seed).permutation(len(items))[:num_samples])
    return [items[index] for index in chosen]
