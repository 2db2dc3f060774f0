"""Colour jitter: values against torchvision on PIL images, probabilities, ranges, seeds."""

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import functional as pil

from leopart_mm.datasets.samplers.draw import Draw
from leopart_mm.datasets.transforms import RandomColourJitter

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def sample(number=0):
    return dict(img=IMAGE.copy(), sample_idx=Draw(0, number, 3))


def test_pixels_equal_torchvision_on_pil_images():
    jitter = RandomColourJitter(prob=1.)
    amounts = jitter.draw(sample(5))
    assert list(amounts) == ['brightness', 'contrast', 'saturation', 'hue']
    image = Image.fromarray(IMAGE[..., ::-1])
    for name, amount in amounts.items():
        image = getattr(pil, f'adjust_{name}')(image, amount)
    found = jitter.transform(sample(5))['img'].astype(int)
    difference = np.abs(found - np.asarray(image)[..., ::-1])
    assert difference.mean() < 2  # PIL turns hue in steps of 1/255, which noise shows most
    assert np.abs(found - IMAGE).mean() > 5


def test_each_is_drawn_for_itself():
    jitter = RandomColourJitter(brightness=0.3, hue=0.05)
    drawn = [jitter.draw(sample(number)) for number in range(2000)]
    for name in jitter.strengths:
        values = np.array([one[name] for one in drawn if name in one])
        assert len(values) / 2000 == pytest.approx(0.5, abs=0.05)
        middle, strength = float(name != 'hue'), jitter.strengths[name]
        assert middle - strength <= values.min() < middle - 0.95 * strength
        assert middle + 0.95 * strength < values.max() <= middle + strength
    both = np.mean(['brightness' in one and 'contrast' in one for one in drawn])
    assert both == pytest.approx(0.25, abs=0.04)
    assert jitter.draw(sample(7)) == drawn[7]


def test_nothing_drawn_changes_nothing():
    np.testing.assert_array_equal(RandomColourJitter(prob=0.).transform(sample())['img'], IMAGE)


def test_strengths_out_of_range_are_refused():
    for options, message in ((dict(hue=0.6), r'hue must be in 0\.\.0\.5'), (dict(contrast=-1), 'contrast'),
                             (dict(prob=2), 'prob')):
        with pytest.raises(ValueError, match=message):
            RandomColourJitter(**options)
