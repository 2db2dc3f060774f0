"""Portrait stays portrait."""

import numpy as np
import pytest

from leopart_mm.datasets.transforms import ResizeOriented


@pytest.mark.parametrize(('shape', 'expected'), [((213, 320), (224, 320)), ((320, 213), (320, 224)),
                                                 ((50, 50), (224, 320))])
def test_orientation_is_kept(shape, expected):
    results = ResizeOriented(scale=(320, 224)).transform(dict(img=np.zeros((*shape, 3), np.uint8)))
    assert results['img'].shape[:2] == results['img_shape'] == expected


def test_sides_in_the_wrong_order():
    with pytest.raises(ValueError, match='long side, short side'):
        ResizeOriented(scale=(224, 320))
