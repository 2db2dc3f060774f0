"""Devices as people have them: which one to take, and what each of them lacks."""

import contextlib
import sys
from collections.abc import Iterator

import torch
from torch import Tensor


def best_device() -> torch.device:
    """A CUDA GPU if there is one, else the GPU of an Apple machine, else the CPU."""
    if torch.cuda.is_available():
        return torch.device('cuda')
    mps = getattr(torch.backends, 'mps', None)
    return torch.device('mps' if mps is not None and mps.is_available() else 'cpu')


def has_float64(device: torch.device | str) -> bool:
    """Whether a device computes in float64; Apple's GPUs (mps) do not."""
    return torch.device(device).type != 'mps'


def float64_device(tensor: Tensor) -> torch.device:
    """Where a tensor can be held in float64: its own device, or the CPU."""
    return tensor.device if has_float64(tensor.device) else torch.device('cpu')


def in_float64(tensor: Tensor) -> Tensor:
    """The tensor in float64, on its device or, where that has none, on the CPU."""
    return tensor.to(float64_device(tensor)).double()


def on_cpu(tensor: Tensor) -> bool:
    """Whether the host can read a tensor at once; on a GPU it waits for all that the GPU has yet to do."""
    return tensor.device.type == 'cpu'


def move(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on a device; float64 stays on the CPU where the device has none.

    What goes from the CPU to a GPU does not make the host wait for the work that the GPU has to do before.
    """
    keep = tensor.dtype == torch.float64 and not has_float64(device)
    if keep or tensor.device.type != 'cpu':  # what comes from a GPU must be complete before it is read
        return tensor.cpu() if keep else tensor.to(device)
    return tensor.to(device, non_blocking=True)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on the device, without waiting for what the device is doing."""
    if device.type == 'cuda' and tensor.device.type == 'cpu':
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


@contextlib.contextmanager
def exact_products() -> Iterator[None]:
    """Within this context CUDA multiplies float32 matrices in float32, whatever the user allows elsewhere (TF32)."""
    settings = torch.backends.cuda.matmul
    name, exact = ('fp32_precision', 'ieee') if hasattr(settings, 'fp32_precision') else ('allow_tf32', False)
    before = getattr(settings, name)
    setattr(settings, name, exact)
    try:
        yield
    finally:
        setattr(settings, name, before)


def require_faiss_beside_torch(option: str) -> None:
    """Refuse faiss on macOS, where its OpenMP runtime and torch's end the process together.

    Args:
        option: The setting that asks for faiss, as the message names it.

    Raises:
        ValueError: If the system is macOS.
    """
    if sys.platform == 'darwin':
        raise ValueError(f"{option} uses faiss, which crashes beside torch on macOS (each brings its own OpenMP): use "
                         "index='torch', which is exact.")
