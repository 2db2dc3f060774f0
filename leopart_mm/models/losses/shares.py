"""Losses that are means over pixels of all processes: together they have the gradient of a single joint batch."""

from mmengine.dist import all_reduce, get_world_size
from torch import Tensor

DIVISORS = ('labelled', 'all')


def check_divisor(divisor: str) -> None:
    """Raise a ValueError that lists the allowed values if `divisor` is none of `DIVISORS`."""
    if divisor not in DIVISORS:
        raise ValueError(f"divisor={divisor!r} is unknown. Allowed: 'labelled' (the mean over labelled pixels), 'all' "
                         '(over all pixels, ignored ones counted, as published).')


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes, without gradient; the argument stays as it is."""
    total = values.detach().clone()
    all_reduce(total)
    return total


def joint_mean(total: Tensor, count: Tensor) -> Tensor:
    """This process's share of a mean over the pixels of all processes.

    Processes average their gradients, so each share is multiplied by the number of processes.

    Args:
        total: Scalar with gradient, the sum over the pixels of this process.
        count: Scalar, the number of pixels of this process.

    Returns:
        Scalar; 0 where no process has a pixel. The mean of the shares over the processes is the joint mean.

    >>> import torch
    >>> float(joint_mean(torch.tensor(6.), torch.tensor(4)))
    1.5
    """
    return total * get_world_size() / sum_over_processes(count).clamp(min=1).to(total.dtype)
