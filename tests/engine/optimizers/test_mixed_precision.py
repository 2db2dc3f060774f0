"""Mixed precision runs on a CPU: autocast, loss scale, skipped steps, state."""

import pytest
import torch
from mmengine.device import get_device

from leopart_mm.registry import OPTIM_WRAPPERS

pytestmark = pytest.mark.skipif(get_device() != 'cpu', reason='on a GPU it is MMEngine\'s own AmpOptimWrapper')


def make(weight, **kwargs):
    return OPTIM_WRAPPERS.build(
        dict(type='leopart_mm.MixedPrecisionOptimWrapper', **kwargs),
        default_args=dict(optimizer=torch.optim.SGD([weight], lr=1.)))


@pytest.mark.parametrize(('dtype', 'expected'), [(None, torch.bfloat16), ('bfloat16', torch.bfloat16),
                                                 ('float16', torch.float16)])
def test_autocast_and_step(dtype, expected):
    weight = torch.nn.Parameter(torch.tensor([[2.]]))
    wrapper = make(weight, dtype=dtype, loss_scale=dict(init_scale=256.))  # 2**16, the default, overflows float16
    with wrapper.optim_context(torch.nn.Linear(1, 1)):
        out = torch.ones(1, 1) @ weight
    assert out.dtype == expected
    wrapper.update_params(3 * out.float().sum())
    assert weight.item() == -1.  # 2 - 3: the loss scale is undone


def test_float16_overflow_skips_the_step():
    weight = torch.nn.Parameter(torch.tensor([1.]))
    wrapper = make(weight, dtype='float16', loss_scale=dict(init_scale=1024.))
    wrapper.update_params((weight * float('inf')).sum())
    assert weight.item() == 1.
    assert wrapper.loss_scaler.get_scale() == 512.
    state = wrapper.state_dict()
    other = make(torch.nn.Parameter(torch.tensor([1.])), dtype='float16')
    other.load_state_dict(state)
    assert other.loss_scaler.get_scale() == 512.


def test_accumulated_gradients_step_once():
    weight = torch.nn.Parameter(torch.tensor([0.]))
    wrapper = make(weight, dtype='bfloat16', accumulative_counts=2)
    wrapper.initialize_count_status(torch.nn.Linear(1, 1), 0, 4)
    wrapper.update_params(weight.sum())
    assert weight.item() == 0.
    wrapper.update_params(weight.sum())
    assert weight.item() == -1.


def test_unknown_dtype():
    with pytest.raises(ValueError, match='float8'):
        make(torch.nn.Parameter(torch.zeros(1)), dtype='float8')
