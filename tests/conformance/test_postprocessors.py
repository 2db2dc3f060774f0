"""Every registered post-processor keeps the contract of `Postprocessor`, in a chain after an OverclusterHead."""

import copy
from dataclasses import replace

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
CRF = dict(type='leopart_mm.DenseCRF', label_confidence=1.)
CASES = dict(CBFE=(CBFE, ), ForegroundClustering=(CBFE, CLUSTERING), CommunityDetection=(CBFE, CLUSTERING, COMMUNITIES),
             DenseCRF=(CBFE, CRF))
SIZE = (32, 32)  # of the images


@pytest.fixture(params=CASES)
def stages(request):
    return CASES[request.param]


def fitted(stages):
    model = segmentor(*stages)
    model.fit(Scenes())
    return model, list(model.postprocessors)[-1]


def batch_of(indices):
    """Scenes with the images that stages may request: grey, the objects white."""
    batch = scene_batch(indices)
    objects = torch.stack([sample.gt_sem_seg.data for sample in batch.data_samples]) > 0
    images = torch.nn.functional.interpolate(objects.float(), SIZE) * 155 + 100
    batch.inputs, batch.input_size = images.repeat(1, 3, 1, 1), SIZE
    return batch


def before_and_after(model, name, batch):
    """What the last stage gets and gives: (prediction, batch) that go in, and the prediction that comes out.

    A stage at pixel level gets single images, here the first.
    """
    stage = model.postprocessors[name]
    if stage.level == 'pixel':
        single = model.run_pixel_stages(batch, 0)
        after = single.predictions.pop(name)
        return single.prediction, single, after
    after = model.run_stages(batch)
    return model.run_stages(batch, name), batch, after


def labels_of(stage, before):
    return before.num_labels if stage.num_labels is None else stage.num_labels


def test_every_postprocessor_has_a_case():
    found = {cls.__name__ for cls in registered_classes(MODELS, Postprocessor) if cls.__module__.startswith('leopart')}
    assert found == set(CASES)


def test_what_it_says_of_its_labels_holds(stages):
    model, name = fitted(stages)
    stage = model.postprocessors[name]
    before, batch, prediction = before_and_after(model, name, batch_of([3, 4, 5]))
    assert name == type(stage).name
    assert isinstance(stage.title, str)
    assert len(prediction) == len(batch) == len(before)
    assert prediction.num_labels == labels_of(stage, before) == model.num_labels
    assert prediction.hard_labels.dtype == torch.int64
    assert 0 <= int(prediction.hard_labels.min()) <= int(prediction.hard_labels.max()) < prediction.num_labels
    if stage.background is not None:
        assert stage.background in range(stage.num_labels)
        # Scenes have background, and it is found.
        assert (prediction.hard_labels == stage.background).any()


def test_what_it_requests_is_enough(stages):
    """Batches hold nothing but what was asked for."""
    model, name = fitted(stages)
    stage = model.postprocessors[name]
    before, batch, after = before_and_after(model, name, batch_of([3, 4]))
    asked = stage.requests()
    assert asked.qkv is None
    features = batch.features
    features.maps = features.maps if asked.maps else (torch.empty(len(batch), 0, *features.grid), )
    features.reduced = features.reduced if asked.reduced else None
    features.cls_attention = features.cls_attention if asked.attention else None
    batch = batch if asked.images else replace(batch, inputs=None)
    assert torch.equal(stage(before, batch).hard_labels, after.hard_labels)


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
    before, batch, _ = before_and_after(model, name, batch_of([3, 4]))
    copied = before.hard_labels.clone()
    model.postprocessors[name](before, batch)
    assert torch.equal(before.hard_labels, copied)


def test_scores_do_as_well_as_the_labels_that_they_give(stages):
    model, name = fitted(stages)
    before, batch, after = before_and_after(model, name, batch_of([3, 4]))
    scores = 100 * torch.nn.functional.one_hot(before.labels, before.num_labels).movedim(-1, 2).float()
    ours = model.postprocessors[name](Prediction(None, before.extents, before.num_labels, scores), batch)
    assert torch.equal(ours.hard_labels, after.hard_labels)


def test_it_forgets_fits_again_and_loads_whole(stages):
    model, name = fitted(stages)
    stage = model.postprocessors[name]
    state = copy.deepcopy(stage.state_dict())
    before, batch, after = before_and_after(model, name, batch_of([3, 4]))
    stage.reset()
    if isinstance(stage, FittedPostprocessor):
        assert not stage.is_fitted
        with pytest.raises(NotFittedError, match='not fitted'):
            stage(before, batch)
        stage.fit(StageStream(model, Scenes(), name))
    assert all(torch.equal(value, state[key]) for key, value in stage.state_dict().items())
    other = MODELS.build(stages[-1])
    other.load_state_dict(state)
    assert torch.equal(other(before, batch).hard_labels, after.hard_labels)


def test_a_stream_without_images_is_an_error(stages):
    stage = MODELS.build(stages[-1])
    if isinstance(stage, FittedPostprocessor):
        with pytest.raises(ValueError, match='saw no image'):
            stage.fit([])
    else:
        stage.fit([])
        assert stage.is_fitted


def test_in_a_chain_by_name_its_maps_are_drawn(stages):
    model, name = fitted(stages)
    assert isinstance(model, UnsupervisedSegmentor)
    batch = batch_of([3, 4])
    for sample in model.predict_batch(batch, pictures=True):
        drawn = sample.metainfo['stages'][name]
        stage = model.postprocessors[name]
        assert (drawn['title'], drawn['num_labels'], drawn['background']) == (stage.title, model.num_labels,
                                                                             stage.background)
        assert torch.equal(drawn['labels'], sample.pred_clusters.data[0])
