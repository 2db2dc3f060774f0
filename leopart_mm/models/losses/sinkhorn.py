"""Sinkhorn-Knopp: scores of tokens and prototypes become soft assignments that use all prototypes equally."""

import torch
import torch.distributed as dist
from torch import Tensor


@torch.no_grad()
def sinkhorn(scores: Tensor,
             epsilon: float = 0.05,
             iterations: int = 3,
             valid: Tensor | None = None,
             distributed: bool = True) -> Tensor:
    """Equalised soft assignments of tokens to prototypes (docs/methods/leopart.md §4; SwAV, section 3.1).

    The kernel exp(scores / epsilon) is scaled in turn so that every prototype holds the same mass and every token one
    unit. Only two scaling vectors change; the kernel itself is computed once, after the largest entry of every
    prototype and then of every token was subtracted in the exponent (the latter is where the tokens' scaling starts).
    So every row and column keeps an entry of exactly 1: nothing overflows and no sum is 0, whatever the scores. All is
    float32, also under autocast.

    Args:
        scores: (..., n, K), any float type; leading dimensions are independent problems.
        epsilon: Temperature, > 0.
        iterations: Rounds of scaling, >= 0.
        valid: (..., n) bool; False rows have no influence (they still get an assignment).
        distributed: Whether sums run over all processes, as if their tokens were one batch. They may differ in n.

    Returns:
        (..., n, K) float32, rows sum to 1, no gradient.

    Raises:
        ValueError: If `epsilon` is not positive.

    >>> scores = torch.tensor([[1., 0.], [1., 0.], [0., 1.], [0.9, 0.]])
    >>> sinkhorn(scores, epsilon=1., iterations=100).sum(0)  # three tokens prefer prototype 0; both get two
    tensor([2., 2.])
    """
    if epsilon <= 0:
        raise ValueError(f'Sinkhorn needs epsilon > 0, but got {epsilon}')
    with torch.autocast(scores.device.type, enabled=False):
        kernel = scores.float() / epsilon
        if iterations == 0:
            return kernel.softmax(-1)
        valid = None if valid is None else valid.unsqueeze(-1)
        largest = (kernel if valid is None else kernel.masked_fill(~valid, -torch.inf)).amax(-2, keepdim=True)
        _all_reduce(largest, 'max', distributed)
        kernel = kernel.sub_(largest).clamp_(max=0.)  # only rows that are not valid can lie above 0
        largest = kernel.amax(-1, keepdim=True)
        kernel = kernel.sub_(largest).exp_()
        token = largest.exp_()
        for _ in range(iterations):
            token = token if valid is None else torch.where(valid, token, 0.)
            mass = kernel.mT @ token
            _all_reduce(mass, 'sum', distributed)
            # Targets such as 1/K and 1/n are constant factors, which cancel in the last step; the mean keeps the scale.
            prototype = mass.mean(-2, keepdim=True) / mass
            token = (kernel @ prototype).reciprocal_()
        kernel = kernel.mul_(prototype.mT)
        return kernel.div_(kernel.sum(-1, keepdim=True))


def _all_reduce(tensor: Tensor, op: str, distributed: bool) -> None:
    if distributed and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(tensor, dist.ReduceOp.MAX if op == 'max' else dist.ReduceOp.SUM)
