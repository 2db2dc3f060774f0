"""Tensors that behave as on an Apple GPU: they say so, have no float64, and NumPy cannot read them."""

import torch

from tests.fake_device import fake_device

MPS = torch.device('mps')


def fake_mps():
    """Within this context 'mps' exists, and the function that it yields moves tensors there."""
    return fake_device('mps', float64=False)
