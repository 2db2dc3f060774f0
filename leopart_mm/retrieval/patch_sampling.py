"""Which patches of an image a bounded memory stores: those of classes that are rare in it.

Source: docs/methods/neco.md §8.3.
"""

import torch
from torch import Tensor

from leopart_mm.clustering.token_sample import token_priorities


def patch_scores(counts: Tensor) -> Tensor:
    """Sum over the classes in a patch of the number of patches of the image with that class; low means rare classes.

    Args:
        counts: (..., n, C) pixel counts or soft labels of the n patches of an image.

    Returns:
        (..., n) float32, whole numbers.

    >>> patch_scores(torch.tensor([[4, 0], [3, 1], [4, 0]])).tolist()
    [3.0, 4.0, 3.0]
    """
    present = (counts > 0).float()
    return (present * present.sum(-2, keepdim=True)).sum(-1)


def patches_per_image(memory_size: int, num_images: int, passes: int) -> int:
    """Number of patches stored per image and pass: at least 1, even if the memory is then exceeded.

    Raises:
        ValueError: If a number is less than 1.

    >>> patches_per_image(memory_size=10_000, num_images=100, passes=2)
    50
    """
    for name, value in dict(memory_size=memory_size, num_images=num_images, passes=passes).items():
        if value < 1:
            raise ValueError(f'The patch memory needs {name} >= 1, not {value}.')
    return max(1, memory_size // (num_images * passes))


def sample_patches(scores: Tensor, uniform: Tensor, count: int) -> Tensor:
    """The patches whose score times a uniform random number is smallest.

    Args:
        scores: (n,) of `patch_scores`.
        uniform: (n,) independent, in 0..1.
        count: Number of patches; all n if there are fewer.

    Returns:
        (min(count, n),) int64, in order of the product; equal products in order of the index.
    """
    return torch.argsort(scores * uniform.to(scores), stable=True)[:count]


def patch_uniforms(seed: int, key: str, pass_index: int, count: int) -> Tensor:
    """(count,) float32 in 0..1 that depend on the seed, the key of the image and the pass only, not on the process."""
    priorities = token_priorities(seed, f'{key}\0{pass_index}', count)
    return torch.from_numpy(priorities / 2.**63).float()
