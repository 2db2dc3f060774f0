"""The checkers of host trips find them."""

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from tests.no_sync import HostTripError, fake_cuda, no_sync

TRIPS = {
    'item': lambda x: x.sum().item(), '__float__': lambda x: float(x.sum()), '__bool__': lambda x: bool(x.any()),
    'tolist': lambda x: x.tolist(), 'cpu': lambda x: x.cpu(), 'to': lambda x: x.to('cpu'),
    'nonzero': lambda x: x.nonzero(), '__getitem__': lambda x: x[x > 0], 'unique': lambda x: x.unique(),
    'bincount': lambda x: torch.bincount(x[0].abs().long(), minlength=9),
    'tensor': lambda x: torch.tensor([1.], device=x.device),
    '__setitem__': lambda x: x.__setitem__(x > 0, torch.ones(2, device=x.device)),
    'repeat_interleave': lambda x: x.repeat_interleave(torch.ones(2, dtype=torch.long, device=x.device), 0),
}


@pytest.mark.parametrize('name', TRIPS)
def test_a_trip_is_found_with_real_values(name):
    with fake_cuda() as cuda:
        values = cuda(torch.tensor([[-1., 2.], [-3., 4.]]))
        with cuda.strict():
            total = (values @ values.T).sort(1).values.cumsum(0)
            values[values > 5] = 0
            assert total.device.type == values[:, 0].device.type == 'cuda'
        assert cuda.trips == []
        TRIPS[name](values)
        assert cuda.trips == [name]
        with cuda.strict(), pytest.raises(HostTripError, match=name):
            TRIPS[name](values)


def test_uploads_count_unless_they_do_not_block():
    with fake_cuda() as cuda:
        torch.ones(2).to('cuda', non_blocking=True) + torch.zeros(2, device='cuda')
        assert cuda.trips == []
        torch.ones(2).to('cuda')
        assert cuda.trips == ['to']


@pytest.mark.parametrize('name', ['item', '__float__', '__bool__', 'tolist', 'cpu', 'to', 'nonzero', '__getitem__'])
def test_a_trip_raises_where_nothing_is_computed(name):
    with no_sync():
        values = torch.randn(3, 4, device='cuda')
        assert (values @ values.T).amax(1).device.type == 'cuda'
        with pytest.raises((HostTripError, DataDependentOutputException, DynamicOutputShapeException)):
            TRIPS[name](values)


def test_a_step_with_gradients_is_checked_on_the_cpu():
    with no_sync():
        layer = torch.nn.Linear(4, 3)
        loss = layer(torch.randn(5, 4)).square().mean()
        loss.backward()
        assert layer.weight.grad.shape == (3, 4)
        with pytest.raises(DataDependentOutputException):
            loss.item()
