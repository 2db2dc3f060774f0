"""The leading eigenvectors of many covariance matrices."""

import pytest
import torch

from leopart_mm.clustering.leading_direction import BLOCK, EXACT_BELOW, leading_directions


def covariances(count, channels, samples=200, decay=1., seed=0):
    generator = torch.Generator().manual_seed(seed)
    scale = decay**torch.arange(channels, dtype=torch.float64)
    rows = torch.randn(count, samples, channels, dtype=torch.float64, generator=generator) * scale
    return rows.mT @ rows


def assert_leading(directions, matrices):
    expected = torch.linalg.eigh(matrices)[1][..., -1]
    torch.testing.assert_close((directions * expected).sum(1).abs(), torch.ones(len(matrices), dtype=torch.float64),
                               rtol=0, atol=1e-10)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(len(matrices), dtype=torch.float64))


@pytest.mark.parametrize('channels', [3, EXACT_BELOW, 80])
@pytest.mark.parametrize('decay', [0.7, 1.])  # 1: no direction leads clearly
def test_they_are_those_of_eigh(channels, decay):
    matrices = covariances(3, channels, decay=decay)
    assert_leading(leading_directions(matrices)[0], matrices)


def test_another_direction_may_take_the_lead_that_the_warm_block_lacks():
    basis = torch.eye(60, dtype=torch.float64)
    before = torch.diag(torch.linspace(2, 1, 60, dtype=torch.float64))
    _, block = leading_directions(before[None])
    assert block.shape == (1, 60, BLOCK)
    exact = torch.cat([basis[:, :BLOCK], basis[:, :0]], 1)[None]  # orthogonal to all others, to the last bit
    after = before - torch.diag((torch.arange(60) < BLOCK) * 1.5)
    direction = leading_directions(after[None], exact)[0][0]
    assert abs(direction @ basis[BLOCK]) > 1 - 1e-10


@pytest.mark.parametrize('channels', [4, 64])
def test_without_variance_any_unit_direction_is_given(channels):
    direction = leading_directions(torch.zeros(1, channels, channels, dtype=torch.float64))[0]
    assert direction.norm() == pytest.approx(1)


def test_a_matrix_of_a_batch_stops_by_itself():
    matrices = torch.cat([covariances(1, 64, decay=0.5), covariances(4, 64, decay=0.98, seed=1)])
    together, blocks = leading_directions(matrices)
    for index, matrix in enumerate(matrices):
        alone, block = leading_directions(matrix[None])
        torch.testing.assert_close(alone[0], together[index], rtol=0, atol=1e-12)
        torch.testing.assert_close(block[0], blocks[index], rtol=0, atol=1e-12)
