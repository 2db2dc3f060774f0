"""Tensors that behave as on an Apple GPU: they say so, have no float64, and NumPy cannot read them."""

import contextlib

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

MPS = torch.device('mps')


class FakeMps(Tensor):
    """A CPU tensor that claims to be on an Apple GPU; only within `fake_mps`."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # the mode below does it


def _is_mps(value):
    return value is not None and not isinstance(value, (Tensor, torch.dtype)) and str(value).startswith('mps')


def _plain(value):
    if isinstance(value, FakeMps):
        return value.as_subclass(Tensor)
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        return type(value)(*map(_plain, value)) if hasattr(value, '_fields') else type(value)(map(_plain, value))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _on_mps(value):
    if isinstance(value, Tensor):
        if value.dtype == torch.float64:
            raise TypeError('Cannot convert a MPS Tensor to float64 dtype as the MPS framework does not support it')
        return value.as_subclass(FakeMps)
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        items = map(_on_mps, value)
        return type(value)(*items) if hasattr(value, '_fields') else type(value)(items)
    return value


class _Mode(TorchFunctionMode):

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, '__name__', '')
        if func is torch.device:
            return func(*args, **kwargs)
        flat = [*args, *kwargs.values()]
        inputs = [item for value in flat for item in (value if isinstance(value, (tuple, list)) else [value])]
        here = any(isinstance(value, FakeMps) for value in inputs)
        if here and func == Tensor.device.__get__:
            return MPS
        if here and name in ('numpy', '__array__'):
            raise TypeError("can't convert mps:0 device type tensor to numpy. Use Tensor.cpu() first.")
        if name == 'cpu':
            return func(*_plain(args))
        wants = any(map(_is_mps, flat))
        if name == 'to':
            others = [value for value in args[1:] if isinstance(value, Tensor)]
            device = next((value for value in flat[1:] if isinstance(value, torch.device) or value in ('cpu', 'mps')
                           if not isinstance(value, (Tensor, torch.dtype, bool))), None)
            target = any(isinstance(other, FakeMps) for other in others) if others else (
                here if device is None else _is_mps(device))
            rest = [value for value in _plain(args)[1:] if not _is_mps(value)]
            result = func(_plain(args)[0], *rest, **{key: value for key, value in _plain(kwargs).items()
                                                     if not _is_mps(value)}) if rest or kwargs else _plain(args)[0]
            return _on_mps(result) if target else result
        if wants:
            args = tuple('cpu' if _is_mps(value) else value for value in args)
            kwargs = {key: 'cpu' if _is_mps(value) else value for key, value in kwargs.items()}
        if here and any(isinstance(value, Tensor) and not isinstance(value, FakeMps) and value.ndim
                        for value in inputs) and name not in ('__get__', '__setitem__', '__getitem__', 'copy_'):
            raise RuntimeError(f'{name}: Expected all tensors to be on the same device, but found mps and cpu')
        result = func(*_plain(args), **_plain(kwargs))
        return _on_mps(result) if here or wants else result


@contextlib.contextmanager
def fake_mps():
    """Within this context 'mps' exists, and `to_mps` moves tensors there."""
    with _Mode():
        yield lambda tensor: tensor.as_subclass(FakeMps)
