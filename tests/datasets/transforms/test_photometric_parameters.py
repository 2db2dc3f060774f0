import numpy as np
import pytest
import torch

from leopart_mm.datasets.samplers import Draw
from leopart_mm.datasets.transforms import DrawPhotometric
from leopart_mm.datasets.transforms.photometric import augment
from leopart_mm.datasets.transforms.photometric_parameters import (
    CONTRAST,
    GREY,
    HUE,
    IDENTITY,
    NUM_PARAMETERS,
    ORDER,
    ORDERS,
    SIGMA,
    draw_photometric,
)

DRAWS = 40000


@pytest.fixture(scope='module')
def drawn():
    return draw_photometric(DRAWS, np.random.default_rng(0)).astype(float)


def share(condition, expected):
    """Within four standard errors of a binomial."""
    return abs(condition.mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / len(condition))


def test_probabilities(drawn):
    jittered = drawn[:, HUE] != 0
    assert share(jittered, 0.8)
    assert share(drawn[:, GREY] == 1, 0.2)
    assert share(drawn[:, SIGMA] > 0, 0.5)
    assert share((drawn[:, GREY] == 1) & (drawn[:, SIGMA] > 0) & jittered, 0.2 * 0.5 * 0.8)  # independent


def test_ranges_are_uniform(drawn):
    jittered = drawn[drawn[:, HUE] != 0]
    for values, low, high in ((jittered[:, 0], 0.2, 1.8), (jittered[:, 1], 0.2, 1.8), (jittered[:, 2], 0.2, 1.8),
                              (jittered[:, HUE], -0.2, 0.2), (drawn[drawn[:, SIGMA] > 0, SIGMA], 0.1, 2.0)):
        unit = (values - low) / (high - low)
        assert -1e-6 < unit.min() < 0.001
        assert 0.999 < unit.max() < 1 + 1e-6
        assert abs(unit.mean() - 0.5) < 4 / np.sqrt(12 * len(unit))
        assert abs(unit.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / len(unit))
    for order in range(len(ORDERS)):
        assert share(jittered[:, ORDER] == order, 1 / 24)


def test_without_jitter_the_colours_stay(drawn):
    np.testing.assert_array_equal(drawn[drawn[:, HUE] == 0][:, :ORDER + 1].mean(0), [1, 1, 1, 0, 0])


def test_strength():
    weak = draw_photometric(2000, np.random.default_rng(0), jitter=0.4, jitter_prob=1, blur=0.5, blur_prob=1)
    assert 0.68 <= weak[:, CONTRAST].min() < 0.69
    assert 1.31 < weak[:, CONTRAST].max() <= 1.3201
    assert np.abs(weak[:, HUE]).max() <= 0.0801
    assert 0.05 <= weak[:, SIGMA].min() < weak[:, SIGMA].max() <= 1.0001
    strong = draw_photometric(2000, np.random.default_rng(0), jitter=2., jitter_prob=1)
    assert strong[:, CONTRAST].min() >= 0  # torchvision clips the lower end at 0


def test_transform_draws_for_each_crop_from_the_sample():
    transform = DrawPhotometric(grey_prob=1.)
    one, same, other = (transform(dict(crops=[0] * 6, sample_idx=Draw(0, number, 0)))['photometric']
                        for number in (3, 3, 4))
    assert one.shape == (6, NUM_PARAMETERS)
    assert one.dtype == np.float32
    assert (one[:, GREY] == 1).all()
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_global_crops_can_stay_clean():
    sample = dict(crops=[0] * 6, gc_boxes=np.zeros((2, 6, 4)), sample_idx=Draw(0, 3, 0))
    clean, coloured = (DrawPhotometric(grey_prob=1., clean_global=chosen)(dict(sample))['photometric']
                       for chosen in (True, False))
    np.testing.assert_array_equal(clean[2:], coloured[2:])
    np.testing.assert_array_equal(clean[:2], [IDENTITY] * 2)
    assert (coloured[:, GREY] == 1).all()
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(augment(images.clone(), torch.from_numpy(clean[:2])), images)


@pytest.mark.parametrize('wrong', [dict(jitter=-1), dict(jitter=3), dict(grey_prob=1.5), dict(blur=-0.1)])
def test_settings_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DrawPhotometric(**wrong)
