import pytest
import torch

from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.feature_batch import FeatureBatch, image_extent


class Backbone:
    patch_size = 16

    def __init__(self, size_mode):
        self.size_mode = size_mode


@pytest.mark.parametrize(('mode', 'grid', 'extent'), [
    ('pad', (7, 13), (0, 6.25, 0, 12.5)),
    ('drop', (6, 12), (0, 6.25, 0, 12.5)),
    ('resize', (7, 13), (0, 7, 0, 13)),
])
def test_extent_of_an_image_that_patches_do_not_divide(mode, grid, extent):
    assert image_extent({}, (100, 200), grid, Backbone(mode)) == pytest.approx(extent)


def test_extent_inside_a_padded_input():
    meta = dict(padding_size=(0, 32, 16, 0))
    assert image_extent(meta, (64, 96), (4, 6), Backbone('pad')) == (1, 4, 0, 4)
    assert image_extent(meta, (64, 96), (2, 3), object()) == (.5, 2, 0, 2)


def test_content_keeps_every_cell_with_a_pixel_of_the_image():
    features = DenseFeatures((torch.zeros(1, 2, 4, 6), ), (4, 6))
    batch = FeatureBatch(features, None, ['a'], [(1, 3.25, 0, 4)])
    assert batch.content(0, (4, 6)) == (slice(1, 4), slice(0, 4), (0, 2.25, 0, 4))
    assert batch.content(0, (8, 12)) == (slice(2, 7), slice(0, 8), (0, 4.5, 0, 8))


def test_head_cuts_every_field():
    features = DenseFeatures((torch.zeros(3, 2, 4, 6), ), (4, 6), cls_token=torch.zeros(3, 2))
    batch = FeatureBatch(features, [1, 2, 3], list('abc'), [(0, 4, 0, 6)] * 3, torch.zeros(5, 3, 4, 6)).head(2)
    assert len(batch) == len(batch.names) == len(batch.extents) == len(batch.data_samples) == 2
    assert batch.features.cls_token.shape == (2, 2)
    assert batch.labels.shape == (5, 2, 4, 6)
