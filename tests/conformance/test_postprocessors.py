"""Every registered post-processor keeps the contract of `Postprocessor`, in a chain after an OverclusterHead."""

import copy

import pytest
import torch

from leopart_mm.models.fitting.base import FittedPostprocessor, Postprocessor
from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.models.fitting.stage_stream import StageStream
from leopart_mm.models.fitting.state import NotFittedError
from leopart_mm.models.segmentors import UnsupervisedSegmentor
from leopart_mm.registry import MODELS
from tests.conformance.registered import registered_classes
from tests.models.postprocessors.scenes import CBFE, CLUSTERING, COMMUNITIES, Scenes, scene_batch, segmentor

# Class -> the stages of a chain that ends with it. A post-processor without a case fails below.
CASES = dict(CBFE=(CBFE, ), ForegroundClustering=(CBFE, CLUSTERING), CommunityDetection=(CBFE, CLUSTERING, COMMUNITIES))


@pytest.fixture(params=CASES)
def stages(request):
    return CASES[request.param]


def fitted(stages):
    model = segmentor(*stages)
    model.fit(Scenes())
    return model, list(model.postprocessors)[-1]


def test_every_postprocessor_has_a_case():
    found = {cls.__name__ for cls in registered_classes(MODELS, Postprocessor) if cls.__module__.startswith('leopart')}
    assert found == set(CASES)


def test_what_it_says_of_its_labels_holds(stages):
    model, name = fitted(stages)
    stage, batch = model.postprocessors[name], scene_batch([3, 4, 5])
    prediction = model.run_stages(batch)
    assert name == type(stage).name
    assert isinstance(stage.title, str)
    assert len(prediction) == 3
    assert prediction.num_labels == stage.num_labels == model.num_labels
    assert prediction.hard_labels.dtype == torch.int64
    assert 0 <= int(prediction.hard_labels.min()) <= int(prediction.hard_labels.max()) < stage.num_labels
    assert stage.background in range(stage.num_labels)
    # Scenes have background, and it is found.
    assert (prediction.hard_labels == stage.background).any()


def test_what_it_requests_is_enough(stages):
    """Batches hold nothing but what was asked for."""
    model, name = fitted(stages)
    stage = model.postprocessors[name]
    batch = scene_batch([3, 4])
    before = model.run_stages(batch, name)
    expected = stage(before, batch).hard_labels
    asked = stage.requests()
    assert asked.qkv is None
    features = batch.features
    features.maps = features.maps if asked.maps else (torch.empty(2, 0, *features.grid), )
    features.reduced = features.reduced if asked.reduced else None
    features.cls_attention = features.cls_attention if asked.attention else None
    assert torch.equal(stage(before, batch).hard_labels, expected)


def test_pictures_lie_on_maps_of_small_ids(stages):
    model, name = fitted(stages)
    batch = scene_batch([3, 4])
    model.run_stages(batch)
    for title, maps in model.postprocessors[name].pictures(batch).items():
        assert title
        assert maps.shape[0] == 2
        assert maps.min() >= 0


def test_a_stage_leaves_the_prediction_before_as_it_is(stages):
    model, name = fitted(stages)
    batch = scene_batch([3, 4])
    before = model.run_stages(batch, name)
    copied = before.hard_labels.clone()
    model.postprocessors[name](before, batch)
    assert torch.equal(before.hard_labels, copied)


def test_scores_do_as_well_as_the_labels_that_they_give(stages):
    model, name = fitted(stages)
    batch = scene_batch([3, 4])
    before = model.run_stages(batch, name)
    scores = torch.nn.functional.one_hot(before.labels, before.num_labels).movedim(-1, 2).float()
    stage = model.postprocessors[name]
    ours = stage(Prediction(None, before.extents, before.num_labels, scores), batch)
    assert torch.equal(ours.hard_labels, stage(before, batch).hard_labels)


def test_it_forgets_fits_again_and_loads_whole(stages):
    model, name = fitted(stages)
    stage = model.postprocessors[name]
    state = copy.deepcopy(stage.state_dict())
    batch = scene_batch([3, 4])
    before = model.run_stages(batch, name)
    labels = stage(before, batch).hard_labels
    stage.reset()
    if isinstance(stage, FittedPostprocessor):
        assert not stage.is_fitted
        with pytest.raises(NotFittedError, match='not fitted'):
            stage(before, batch)
    stage.fit(StageStream(model, Scenes(), name))
    assert all(torch.equal(value, state[key]) for key, value in stage.state_dict().items())
    other = MODELS.build(stages[-1])
    other.load_state_dict(state)
    assert torch.equal(other(before, batch).hard_labels, labels)


def test_a_stream_without_images_is_an_error(stages):
    with pytest.raises(ValueError, match='saw no image'):
        MODELS.build(stages[-1]).fit([])


def test_in_a_chain_by_name_its_maps_are_drawn(stages):
    model, name = fitted(stages)
    assert isinstance(model, UnsupervisedSegmentor)
    batch = scene_batch([3, 4])
    batch.input_size = (32, 32)
    for sample in model.predict_batch(batch, pictures=True):
        drawn = sample.metainfo['stages'][name]
        stage = model.postprocessors[name]
        assert (drawn['title'], drawn['num_labels'], drawn['background']) == (stage.title, stage.num_labels,
                                                                             stage.background)
        assert torch.equal(drawn['labels'], sample.pred_clusters.data[0])
