import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from leopart_mm.clustering.moments import Moments
from leopart_mm.clustering.pca import principal_directions


def test_directions_equal_scikit_learn_up_to_sign_and_signs_are_fixed():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(200, 9, generator=generator) @ torch.randn(9, 9, generator=generator)
    moments = Moments()
    moments.update(x)
    directions, variances = principal_directions(moments.covariance(), 4)
    reference = PCA(4, svd_solver='full').fit(x.double().numpy())
    np.testing.assert_allclose(variances * 200 / 199, reference.explained_variance_, rtol=1e-9)
    np.testing.assert_allclose(np.abs(directions.numpy() @ reference.components_.T), np.eye(4), atol=1e-8)
    peak = directions.abs().argmax(1)
    assert (directions[torch.arange(4), peak] > 0).all()


def test_all_directions_are_an_orthonormal_base():
    covariance = torch.diag(torch.tensor([1., 3., 2.]))
    directions, variances = principal_directions(covariance)
    assert variances.tolist() == [3, 2, 1]
    assert directions.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize('dim', [0, 4])
def test_impossible_dimensions_are_refused(dim):
    with pytest.raises(ValueError, match=f'pca_dim={dim} is impossible for features of 3 channels'):
        principal_directions(torch.eye(3), dim)
