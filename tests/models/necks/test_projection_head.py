import pytest
import torch
from torch import nn

from leopart_mm.models.necks import ProjectionHead
from leopart_mm.registry import MODELS


def test_layers_and_key_names():
    head = ProjectionHead(8, 16, 4, num_layers=3)
    shapes = {key: tuple(value.shape) for key, value in head.state_dict().items()}
    assert shapes == {'mlp.0.weight': (16, 8), 'mlp.0.bias': (16, ), 'mlp.2.weight': (16, 16), 'mlp.2.bias': (16, ),
                      'mlp.4.weight': (4, 16), 'mlp.4.bias': (4, )}
    assert [type(layer) for layer in head.mlp] == [nn.Linear, nn.GELU, nn.Linear, nn.GELU, nn.Linear]


def test_one_layer_is_one_linear_of_the_output_width():
    assert [(key, tuple(value.shape)) for key, value in ProjectionHead(8, 16, 4, num_layers=1).state_dict().items()
            ] == [('mlp.0.weight', (4, 8)), ('mlp.0.bias', (4, ))]


def test_values_by_hand():
    head = ProjectionHead(2, 2, 2, num_layers=2)
    with torch.no_grad():
        head.mlp[0].weight.copy_(torch.eye(2))
        head.mlp[2].weight.copy_(torch.tensor([[3., 0.], [0., 4.]]))
    # GELU is so close to the identity at 20 that float32 does not see the difference: (60, 80) has length 100.
    torch.testing.assert_close(head(torch.tensor([20., 20.])), torch.tensor([0.6, 0.8]))


def test_initialisation():
    torch.manual_seed(0)
    head = ProjectionHead(256, 512, 64)
    for layer in head.mlp[::2]:
        assert torch.equal(layer.bias, torch.zeros_like(layer.bias))
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize('shape', [(5, 8), (2, 3, 8), (8, )])
def test_rows_have_length_one(shape):
    projected = ProjectionHead(8, 16, 4)(torch.randn(shape, generator=torch.Generator().manual_seed(1)))
    assert projected.shape == (*shape[:-1], 4)
    torch.testing.assert_close(projected.norm(dim=-1), torch.ones(shape[:-1]))


def test_lengths_are_kept_on_request():
    torch.manual_seed(0)
    head, features = ProjectionHead(8, 16, 4, normalize=False), torch.randn(5, 8)
    unit = torch.nn.functional.normalize(head(features), dim=-1)
    head.normalize = True
    torch.testing.assert_close(head(features), unit)


def test_normalises_in_float32_under_autocast():
    head = ProjectionHead(8, 16, 4)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        projected = head(torch.randn(5, 8))
    assert projected.dtype == torch.float32
    torch.testing.assert_close(projected.norm(dim=-1), torch.ones(5))


def test_a_zero_row_gives_no_nan():
    head = ProjectionHead(8, 16, 4)
    assert torch.equal(head(torch.zeros(2, 8)), torch.zeros(2, 4))


def test_registered_and_needs_a_layer():
    assert isinstance(MODELS.build(dict(type='leopart_mm.ProjectionHead', in_channels=4)), ProjectionHead)
    with pytest.raises(ValueError, match='at least 1 layer'):
        ProjectionHead(8, num_layers=0)
