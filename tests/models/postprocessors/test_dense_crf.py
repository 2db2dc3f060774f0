import pytest
import torch

import leopart_mm.models  # noqa: F401
from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.masks.crf import CRFSettings, dense_crf, truncate_bytes
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.models.segmentors import UnsupervisedSegmentor
from leopart_mm.registry import MODELS
from tests.masks.test_crf import scene
from tests.models.postprocessors.scenes import CBFE, CLUSTERING, COMMUNITIES

SIZE = (14, 18)


def build(**kwargs):
    return MODELS.build(dict(type='leopart_mm.DenseCRF', **kwargs))


def example(variants=3):
    maps = [scene(seed=seed)[0] for seed in range(variants)]
    prediction = Prediction(None, [Extent(0, 14, 0, 18)], 3, torch.stack(maps)[:, None] * 2)
    image = scene()[1]
    features = DenseFeatures((torch.zeros(1, 1, 2, 2), ), (2, 2))
    batch = FeatureBatch(features, None, ['image'], [Extent(0, 2, 0, 2)], image.movedim(2, 0).float()[None], SIZE)
    return prediction, batch, image


@pytest.mark.parametrize('backend', ['lattice', 'exact'])
def test_all_variants_are_sharpened(backend):
    prediction, batch, image = example()
    found = build(backend=backend, iterations=5)(prediction, batch)
    assert found.scores.shape == (3, 1, 3, *SIZE)
    for variant in range(3):
        expected = dense_crf(prediction.scores[variant, 0], image, CRFSettings(backend=backend, iterations=5))
        torch.testing.assert_close(found.scores[variant, 0], expected, rtol=0, atol=1e-6)


def test_the_other_variants_stay_what_they_are():
    prediction, batch, _ = example()
    chosen, everything = build(variants=[2, 0])(prediction, batch), build()(prediction, batch)
    assert torch.equal(chosen.scores[1], prediction.scores[1])
    torch.testing.assert_close(chosen.scores[[0, 2]], everything.scores[[0, 2]], rtol=0, atol=1e-6)
    assert torch.equal(prediction.scores, example()[0].scores)
    with pytest.raises(ValueError, match=r'numbers are 0\.\.2'):
        build(variants=[3])(prediction, batch)


def test_probabilities_and_scaled_logits():
    prediction, batch, _ = example(1)
    expected = build()(prediction, batch).scores
    probabilities = Prediction(None, prediction.extents, 3, prediction.scores.softmax(2))
    torch.testing.assert_close(build(scores='probabilities')(probabilities, batch).scores, expected, rtol=0, atol=1e-5)
    half = Prediction(None, prediction.extents, 3, prediction.scores / 2)
    torch.testing.assert_close(build(scale=2.)(half, batch).scores, expected, rtol=0, atol=1e-5)


def test_labels_need_a_confidence():
    prediction, batch, image = example(1)
    labels = prediction.with_labels(prediction.hard_labels, 3)
    with pytest.raises(ValueError, match='labels only: set label_confidence'):
        build()(labels, batch)
    log_probs = torch.full((3, *SIZE), 0.15).scatter_(0, labels.labels[0], 0.7).log()
    expected = dense_crf(log_probs, image)
    torch.testing.assert_close(build(label_confidence=0.7)(labels, batch).scores[0, 0], expected, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match='no more than chance'):
        build(label_confidence=0.3)(labels, batch)


def test_published_bytes_are_truncated():
    prediction, batch, image = example(1)
    expected = dense_crf(prediction.scores[0, 0], truncate_bytes(image), CRFSettings())
    assert not torch.equal(truncate_bytes(image), image)
    found = build(bytes='truncate')(prediction, batch).scores[0, 0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    batch.inputs += 0.3  # what interpolation and float arithmetic leave
    torch.testing.assert_close(build(bytes='truncate')(prediction, batch).scores[0, 0], found, rtol=0, atol=1e-6)


def test_an_image_of_another_size_or_none_is_refused():
    prediction, batch, _ = example(1)
    for inputs in (None, batch.inputs[..., 1:], batch.inputs[:, :1]):
        batch.inputs = inputs
        with pytest.raises(ValueError, match=r'needs the image \(1, 3, 14, 18\)'):
            build()(prediction, batch)


@pytest.mark.parametrize(('kwargs', 'match'), [
    (dict(sigma=3), 'sigma is no setting'), (dict(scores='cosines'), 'logits, probabilities'),
    (dict(scale=0.), 'scale'), (dict(label_confidence=2.), 'probability'), (dict(variants=[]), 'different numbers'),
    (dict(variants=[0, 0]), 'different numbers'), (dict(iterations=-1), 'iterations=-1')])
def test_wrong_settings_are_refused(kwargs, match):
    with pytest.raises(ValueError, match=match):
        build(**kwargs)


def test_it_comes_after_all_stages_on_the_grid():
    head = dict(type='leopart_mm.OverclusterHead', num_clusters=3)
    stages = dict(foreground=CBFE, clusters=CLUSTERING, communities=COMMUNITIES)
    crf = dict(type='leopart_mm.DenseCRF', label_confidence=0.9)
    model = UnsupervisedSegmentor(torch.nn.Identity(), head, postprocessors=dict(stages, crf=crf))
    assert model.requests().images
    with pytest.raises(ValueError, match='works on the patch grid'):
        UnsupervisedSegmentor(torch.nn.Identity(), head, postprocessors=dict(crf=crf, **stages))
