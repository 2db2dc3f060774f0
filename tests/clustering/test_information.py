import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from leopart_mm.clustering.information import image_information

# 4 images, 2 objects of 2 parts each: clusters 0, 1 in images 0, 1; clusters 2, 3 in images 2, 3
PIXELS = np.array([[5, 5, 0, 0], [5, 5, 0, 0], [0, 0, 5, 5], [0, 0, 5, 5]])


def test_objects_score_better_than_parts_and_everything():
    parts, objects, mixed, one = (image_information(PIXELS, np.array(labels))
                                  for labels in ([0, 1, 2, 3], [0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]))
    assert objects == pytest.approx(np.log(2))
    assert parts == pytest.approx(np.log(2)**2 / np.log(4))
    assert mixed == pytest.approx(0, abs=1e-12)
    assert one == 0


def test_equals_scikit_learn():
    pixels = np.random.default_rng(0).integers(0, 9, (6, 5))
    labels = np.array([0, 2, 1, 2, 0])
    images, clusters = (axis.ravel() for axis in np.indices(pixels.shape))
    information = mutual_info_score(np.repeat(images, pixels.ravel()), np.repeat(labels[clusters], pixels.ravel()))
    shares = np.bincount(labels, pixels.sum(0)) / pixels.sum()
    assert image_information(pixels, labels) == pytest.approx(information**2 / -(shares * np.log(shares)).sum())


def test_no_pixels():
    assert image_information(np.zeros((2, 3)), np.array([0, 1, 2])) == 0
