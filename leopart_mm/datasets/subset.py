"""Taking a part of a data set: the first n samples or a seeded random n."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar('Item')


def take_subset(items: Sequence[Item], num_samples: int | None, seed: int | None = None) -> list[Item]:
    """At most `num_samples` of the items, in their order.

    Args:
        items: All of them.
        num_samples: How many to keep; None or more than there are keeps all.
        seed: None takes the first ones; a number takes a random choice that depends on nothing else.

    Raises:
        ValueError: `num_samples` is less than 1.
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
