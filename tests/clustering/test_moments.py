import numpy as np
import pytest
import torch

from leopart_mm.clustering.moments import Moments


def features(count=301, channels=7):
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(channels, channels, generator=generator)
    return torch.randn(count, channels, generator=generator) @ mixing + 1000


@pytest.mark.parametrize('batch', [1, 50, 301])
def test_streamed_moments_equal_numpy(batch):
    x = features()
    moments = Moments()
    for part in x.split(batch):
        moments.update(part)
    reference = x.double().numpy()
    assert moments.count == len(x)
    np.testing.assert_allclose(moments.mean, reference.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.std(), reference.std(0), rtol=1e-9)
    np.testing.assert_allclose(moments.covariance(), np.cov(reference.T, ddof=0), rtol=1e-8, atol=1e-8)


def test_merging_processes_equals_one_process():
    x = features()
    whole, parts = Moments(), []
    whole.update(x)
    for part in (x[:17], x[17:17], x[17:]):
        moments = Moments()
        moments.update(part)
        parts.append(moments.state())
    merged = Moments.merged(parts)
    assert merged.count == whole.count
    np.testing.assert_allclose(merged.scatter, whole.scatter, rtol=1e-10, atol=1e-7)


def test_standardised_features_have_mean_0_and_std_1_and_a_constant_channel_becomes_0():
    x = torch.cat([features(), torch.full((301, 1), 5.3)], dim=1)
    moments = Moments()
    for part in x.split(20):
        moments.update(part)
    z = (x.double() - moments.mean) / moments.std()
    np.testing.assert_allclose(z.mean(0), np.zeros(8), atol=1e-9)
    np.testing.assert_allclose(z.std(0, correction=0), [1] * 7 + [0], atol=1e-9)


def test_bad_input_is_named():
    moments = Moments()
    with pytest.raises(ValueError, match='No feature vector'):
        moments.std()
    bad = features()
    bad[3, 2] = float('nan')
    with pytest.raises(ValueError, match='1 of 301 feature vectors hold NaN'):
        moments.update(bad)
    moments.update(features())
    with pytest.raises(ValueError, match='5 channels, earlier ones had 7'):
        moments.update(torch.zeros(2, 5))
