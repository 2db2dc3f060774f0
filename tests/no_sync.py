"""What waits for a GPU, found out without one: trips to the host, named, counted or refused.

Two ways. `fake_cuda` computes real values on tensors that claim to be on a GPU, so that the code for GPUs runs, its
results are compared with the CPU's, and its trips are counted; gradients are out of sight. `no_sync` is for whole steps
with gradients: nothing is computed, and what reads a value raises.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.fake_device import FakeDevice, FakeTensorOf, fake_device

# What reads a value, or makes a result whose size depends on values, in torch's implementation for CUDA.
READS = {
    'item', 'tolist', 'cpu', 'numpy', '__bool__', '__int__', '__float__', '__index__', '__array__', '__contains__',
    '__repr__', '__format__', '__deepcopy__', 'nonzero', 'argwhere', 'masked_select', 'unique', 'unique_consecutive',
    '_unique2', 'bincount', 'equal', 'allclose', 'is_nonzero', 'linalg_eigh', 'linalg_eigvalsh', 'linalg_solve',
    'linalg_inv', 'linalg_cholesky', 'linalg_svd', 'svd_lowrank', 'pca_lowrank', 'tensor_split',
}


class HostTripError(AssertionError):
    """The host waited for the device."""


class CudaTrips:
    """The fake GPU: call it to move a tensor there.

    Attributes:
        trips: Names of what made the host wait, in order.
    """

    def __init__(self) -> None:
        self.trips: list[str] = []
        self.mode: FakeDevice | None = None
        self._strict = False

    def __call__(self, tensor: Tensor) -> Tensor:
        return self.mode(tensor)

    @contextlib.contextmanager
    def strict(self) -> Iterator[None]:
        """Within this context a trip raises HostTripError."""
        self._strict, before = True, self._strict
        try:
            yield
        finally:
            self._strict = before

    def watch(self, mode: FakeDevice, name: str, args: tuple, kwargs: dict[str, Any], here: bool) -> None:
        """Told of every call."""
        if _waits(mode, name, args, kwargs, here):
            self.trips.append(name)
            if self._strict:
                raise HostTripError(f'{name} makes the host wait for the device.')


def _waits(mode: FakeDevice, name: str, args: tuple, kwargs: dict[str, Any], here: bool) -> bool:
    if name == 'to':  # either way, unless it is asked not to block
        blocks = not (kwargs.get('non_blocking') or any(value is True for value in args[1:]))
        return mode.target(args, kwargs, here) != here and (here or blocks)
    if name in ('tensor', 'as_tensor', 'from_numpy'):  # made on the host, then copied
        return mode.is_here(kwargs.get('device'))
    if not here:
        return False
    if name in ('__getitem__', '__setitem__'):
        index = args[1] if isinstance(args[1], tuple) else (args[1], )
        by_mask = any(_is_mask(part) for part in index)
        by_host = any(isinstance(part, Tensor) and part.ndim and not isinstance(part, FakeTensorOf) for part in index)
        fills = name == '__setitem__' and (not isinstance(args[2], Tensor) or args[2].numel() == 1)
        return (by_mask and not fills) or by_host or any(isinstance(part, list) for part in index)
    if name == 'where':
        return len(args) + len(kwargs) == 1
    if name == 'repeat_interleave':
        repeats = [value for value in (*args[1:], kwargs.get('repeats')) if isinstance(value, Tensor)]
        return (bool(repeats) or len(args) == 1) and kwargs.get('output_size') is None
    return name in READS


def _is_mask(part: Any) -> bool:
    if isinstance(part, list):
        return any(isinstance(value, bool) for value in part)
    return isinstance(part, Tensor) and part.dtype in (torch.bool, torch.uint8)


@contextlib.contextmanager
def fake_cuda() -> Iterator[CudaTrips]:
    """Within this context 'cuda' exists, and what is yielded moves tensors there and lists the host's trips."""
    found = CudaTrips()
    with fake_device('cuda', watch=found.watch) as mode:
        found.mode = mode
        yield found


class _NoCopies(TorchDispatchMode):
    """Refuses copies from the fake GPU to the host, which FakeTensorMode allows."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.copy_, torch.ops.aten.to):
            source = args[1] if func.overloadpacket is torch.ops.aten.copy_ else args[0]
            if isinstance(source, Tensor) and source.device.type == 'cuda' and result.device.type == 'cpu':
                raise HostTripError(f'{func} copies from the device to the host.')
        return result


@contextlib.contextmanager
def no_sync() -> Iterator[FakeTensorMode]:
    """Within this context 'cuda' exists, nothing is computed, and what makes the host wait for the device raises.

    Make the modules and inputs inside of it (``torch.randn(..., device='cuda')``). It raises HostTripError, or
    torch's own DataDependentOutputException and DynamicOutputShapeException. Without a GPU, autograd cannot run
    backward on 'cuda': make them on the CPU then, where values cannot be read either (but copies to the host are none).
    """
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, _NoCopies():
        yield mode
