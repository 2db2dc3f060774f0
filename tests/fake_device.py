"""Tensors that compute on the CPU and claim to be on another device, with what that device lacks and waits for."""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

DEVICE_METHODS = ('cpu', 'cuda')
MOVES_DATA = ('__get__', '__setitem__', '__getitem__', 'copy_', 'masked_fill_', 'index_put_')


class FakeTensorOf(Tensor):
    """A CPU tensor that claims to be on another device; only within `fake_device`."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # the mode below does it


def plain(value):
    """What a fake tensor, or a nest of them, really is."""
    if isinstance(value, FakeTensorOf):
        return value.as_subclass(Tensor)
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        return type(value)(*map(plain, value)) if hasattr(value, '_fields') else type(value)(map(plain, value))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


class FakeDevice(TorchFunctionMode):
    """The mode: `watch` is told of every call that has a tensor of the device among its inputs."""

    def __init__(self, name: str, float64: bool, watch: Callable[..., None] | None = None) -> None:
        super().__init__()
        self.device, self.float64, self.watch = torch.device(name), float64, watch

    def __call__(self, tensor: Tensor) -> Tensor:
        """The tensor on the device."""
        return self.wrap(tensor)

    def is_here(self, value) -> bool:
        """Whether a value names the device."""
        return value is not None and not isinstance(value, (Tensor, torch.dtype)) and (
            str(value).split(':')[0] == self.device.type)

    def wrap(self, value):
        """The value, or a nest of them, on the device."""
        if isinstance(value, Tensor):
            if value.layout is not torch.strided:  # has no subclasses; it may stand beside tensors of the device
                return value
            if value.dtype == torch.float64 and not self.float64:
                raise TypeError('Cannot convert a MPS Tensor to float64 dtype as the MPS framework does not support it')
            return value.as_subclass(FakeTensorOf)
        if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
            items = map(self.wrap, value)
            return type(value)(*items) if hasattr(value, '_fields') else type(value)(items)
        return value

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, '__name__', '')
        if func is torch.device:
            return func(*args, **kwargs)
        flat = [*args, *kwargs.values()]
        inputs = [item for value in flat for item in (value if isinstance(value, (tuple, list)) else [value])]
        here = any(isinstance(value, FakeTensorOf) for value in inputs)
        if here and func == Tensor.device.__get__:
            return self.device
        if here and func in (Tensor.is_cuda.__get__, Tensor.is_mps.__get__, Tensor.is_cpu.__get__):
            return getattr(torch.Tensor, f'is_{self.device.type}').__get__ == func
        if self.watch is not None:
            self.watch(self, name, args, kwargs, here)
        if here and name in ('numpy', '__array__'):
            raise TypeError(f"can't convert {self.device.type}:0 device type tensor to numpy. Use Tensor.cpu() first.")
        if name == 'cpu':
            return func(*plain(args))
        if name == 'to':
            return self._moved(func, args, kwargs, flat, here)
        wants = any(map(self.is_here, flat))
        if wants:
            args = tuple('cpu' if self.is_here(value) else value for value in args)
            kwargs = {key: 'cpu' if self.is_here(value) else value for key, value in kwargs.items()}
        if here and name not in MOVES_DATA and any(
                isinstance(value, Tensor) and not isinstance(value, FakeTensorOf) and value.ndim
                and value.layout is torch.strided for value in inputs):
            raise RuntimeError(f'{name}: Expected all tensors to be on the same device, but found {self.device.type} '
                               'and cpu')
        result = func(*plain(args), **plain(kwargs))
        return self.wrap(result) if here or wants else result

    def _moved(self, func, args, kwargs, flat, here):
        """`Tensor.to`, in all its forms."""
        target = self.target(args, kwargs, here)
        rest = [value for value in plain(args)[1:] if not self.is_here(value)]
        named = {key: value for key, value in plain(kwargs).items() if not self.is_here(value)}
        result = func(plain(args)[0], *rest, **named) if rest or named else plain(args)[0]
        return self.wrap(result) if target else result

    def target(self, args, kwargs, here: bool) -> bool:
        """Whether `Tensor.to` of these arguments ends on the device."""
        flat = [*args, *kwargs.values()]
        others = [value for value in flat[1:] if isinstance(value, Tensor)]
        if others:
            return any(isinstance(other, FakeTensorOf) for other in others)
        device = next((value for value in flat[1:] if isinstance(value, (torch.device, str))), None)
        return here if device is None else self.is_here(device)


@contextlib.contextmanager
def fake_device(name: str, float64: bool = True, watch: Callable[..., None] | None = None) -> Iterator[FakeDevice]:
    """Within this context the device exists; the yielded function moves tensors there."""
    mode = FakeDevice(name, float64, watch)
    with mode:
        yield mode
