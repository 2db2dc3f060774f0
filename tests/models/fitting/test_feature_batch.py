import pytest
import torch

from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.prediction import Prediction


def test_content_keeps_every_cell_with_a_pixel_of_the_image():
    features = DenseFeatures((torch.zeros(1, 2, 4, 6), ), (4, 6))
    batch = FeatureBatch(features, None, ['a'], [(1, 3.25, 0, 4)])
    assert batch.content(0, (4, 6)) == (slice(1, 4), slice(0, 4), (0, 2.25, 0, 4))
    assert batch.content(0, (8, 12)) == (slice(2, 7), slice(0, 8), (0, 4.5, 0, 8))


def test_head_cuts_every_field():
    features = DenseFeatures((torch.zeros(3, 2, 4, 6), ), (4, 6), cls_token=torch.zeros(3, 2))
    extents = [Extent(0, 4, 0, 6)] * 3
    batch = FeatureBatch(features, [1, 2, 3], list('abc'), extents, torch.zeros(3, 3, 8, 12), (8, 12), list('xyz'),
                         list('uvw'), dict(head=Prediction(torch.zeros(5, 3, 4, 6), extents, 7)), 'fit')
    batch = batch.head(2)
    assert len(batch) == len(batch.names) == len(batch.extents) == len(batch.data_samples) == len(batch.inputs) == 2
    assert batch.features.cls_token.shape == (2, 2)
    assert batch.features.maps[0].shape == (2, 2, 4, 6)
    assert batch.prediction.labels.shape == (5, 2, 4, 6)
    assert (batch.keys, batch.cache_keys, batch.fit_id) == (['x', 'y'], ['u', 'v'], 'fit')


def test_the_prediction_is_that_of_the_latest_stage():
    extents = [Extent(0, 4, 0, 6)]
    batch = FeatureBatch(DenseFeatures((torch.zeros(1, 2, 4, 6), ), (4, 6)), None, ['a'], extents)
    with pytest.raises(LookupError, match='run_stages'):
        batch.prediction.labels  # noqa: B018
    for number, name in enumerate(('head', 'foreground')):
        batch.predictions[name] = Prediction(torch.full((1, 1, 4, 6), number), extents, 2)
    assert batch.prediction.labels.unique().tolist() == [1]
