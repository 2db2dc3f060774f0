import pytest
import torch
from mmengine.config import Config
from mmengine.runner import load_state_dict
from scipy.optimize import linear_sum_assignment

from leopart_mm.apis.checkpoint_config import config_of
from leopart_mm.checkpoints.safe_reading import load_checkpoint_file
from leopart_mm.engine.fitted_checkpoint import save_fitted_checkpoint
from leopart_mm.models.decode_heads import NotFittedError
from leopart_mm.models.fitting.chain import StageChain
from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.models.fitting.requests import Requests
from tests.distributed import run_distributed
from tests.models.postprocessors.scenes import (
    CBFE,
    CLUSTERING,
    COMMUNITIES,
    OBJECT,
    Scenes,
    part_map,
    scene_batch,
    segmentor,
    whole_chain,
)


def objects(indices):
    return OBJECT[torch.stack([part_map(index) for index in indices])]


def segmentor_of(stages):
    model = segmentor()
    model.postprocessors = StageChain(stages)
    return model.eval()


def count_calls(model):
    """A dict that counts predictions of the head and of the stages, by name."""
    calls = {}

    def counted(name, function):
        def call(*args):
            calls[name] = calls.get(name, 0) + 1
            return function(*args)
        return call

    model.decode_head.predict = counted('head', model.decode_head.predict)
    for name, stage in model.postprocessors.items():
        stage.forward = counted(name, stage.forward)
    return calls


def same_partition(labels, reference):
    """Whether a one-to-one renaming turns `labels` into `reference`."""
    table = torch.zeros(int(labels.max()) + 1, int(reference.max()) + 1, dtype=torch.long)
    table.index_put_((labels.flatten(), reference.flatten()), torch.ones(labels.numel(), dtype=torch.long), True)
    rows, columns = linear_sum_assignment(-table.numpy())
    return table.numpy()[rows, columns].sum() == labels.numel()


def test_parts_become_objects():
    model = whole_chain()
    model.fit(Scenes())
    labels = model.run_stages(scene_batch(list(range(12, 18)))).labels  # new images, no refit
    assert labels.shape == (3, 6, 8, 8)
    for seed in labels:
        assert same_partition(seed, objects(range(12, 18)))
    assert model.num_labels == int(labels.max()) + 1


def test_fitted_state_survives_a_checkpoint():
    model, other = whole_chain(), whole_chain()
    model.fit(Scenes())
    other.load_state_dict(model.state_dict())
    batch = scene_batch([20, 21])
    assert other.is_fitted
    assert torch.equal(model.run_stages(batch).labels, other.run_stages(batch).labels)
    assert other.num_labels == model.num_labels
    assert other.postprocessors['foreground'].info['rule'] == 'chance'


def test_fitting_again_starts_from_nothing():
    model = whole_chain()
    model.fit(Scenes())
    before = model.run_stages(scene_batch([20, 21])).labels
    model.fit(Scenes())
    assert torch.equal(before, model.run_stages(scene_batch([20, 21])).labels)


def test_attention_is_needed_for_fitting_only():
    model = whole_chain()
    assert model.requests(fitting=True) == Requests(attention=True, reduced=True)
    assert model.requests(pictures=True) == Requests(attention=True, reduced=True)
    assert model.requests() == Requests(reduced=True)
    model.fit(Scenes())
    batch = scene_batch([3])
    batch.features.cls_attention = None
    assert model.run_stages(batch).labels.shape == (3, 1, 8, 8)


@pytest.mark.parametrize('stage', ['foreground', 'clusters', 'communities'])
def test_unfitted_stages_say_so(stage):
    model = whole_chain()
    batch = scene_batch([0])
    with pytest.raises(NotFittedError, match='not fitted'):
        model.postprocessors[stage](Prediction(torch.zeros(1, 1, 8, 8, dtype=torch.long), batch.extents, 7), batch)


@pytest.mark.parametrize('lost', ['foreground.precisions', 'clusters.centroids', 'communities.matrix',
                                  'communities.fitted'])
def test_half_a_state_is_refused(lost):
    model = whole_chain()
    model.fit(Scenes())
    state = model.state_dict()
    state.pop(f'postprocessors.{lost}')
    with pytest.raises(ValueError, match='part of a fitted'):
        whole_chain().load_state_dict(state, strict=False)


def test_a_checkpoint_of_numbered_stages_loads():
    model, other = whole_chain(), whole_chain()
    model.fit(Scenes())
    numbers = dict(foreground=0, clusters=1, communities=2)
    state = {}
    for key, value in model.state_dict().items():
        parts = key.split('.')
        if parts[0] == 'postprocessors':
            parts[1] = str(numbers[parts[1]])
        state['.'.join(parts)] = value
    assert 'postprocessors.2.communities' in state
    other.load_state_dict(state)
    batch = scene_batch([20, 21])
    assert torch.equal(model.run_stages(batch).labels, other.run_stages(batch).labels)
    third = whole_chain()
    load_state_dict(third, dict(state))  # MMEngine's own
    assert torch.equal(model.run_stages(batch).labels, third.run_stages(batch).labels)


def test_stages_have_the_same_values_as_a_list_and_by_name():
    named = segmentor_of(dict(foreground=CBFE, clusters=CLUSTERING, communities=COMMUNITIES))
    listed = whole_chain()
    named.fit(Scenes())
    listed.fit(Scenes())
    assert list(named.state_dict()) == list(listed.state_dict())
    assert all(torch.equal(value, listed.state_dict()[key]) for key, value in named.state_dict().items())


def test_stages_run_once_on_a_batch_that_comes_again():
    model, batches = whole_chain(), list(Scenes())
    calls = count_calls(model)
    model.fit(batches)
    # In the three batches: the head before the first stage is fitted, each stage before the next one is.
    assert calls == dict(head=3, foreground=3, clusters=3)
    labels = model.run_stages(batches[0]).labels
    assert calls == dict(head=3, foreground=3, clusters=3, communities=1)
    assert torch.equal(labels, model.run_stages(scene_batch([0, 1, 2, 3])).labels)


def test_predictions_of_another_fit_are_not_taken():
    model, batch = whole_chain(), scene_batch([20, 21])
    model.fit(Scenes())
    state, before = model.state_dict(), model.run_stages(batch).labels
    model.fit(Scenes(count=9, noise=0.2))
    fresh = model.run_stages(scene_batch([20, 21])).labels
    calls = count_calls(model)
    assert torch.equal(model.run_stages(batch).labels, fresh)
    model.load_state_dict(state)
    assert torch.equal(model.run_stages(batch).labels, before)
    assert calls == dict.fromkeys(('head', 'foreground', 'clusters', 'communities'), 2)


def test_a_checkpoint_without_stages_leaves_them_unfitted():
    model = whole_chain()
    model.load_state_dict({}, strict=False)
    assert not model.is_fitted


@pytest.mark.parametrize(('stage', 'change', 'message'), [
    (1, dict(num_clusters=5), 'num_clusters=6'), (2, dict(seeds=4), r'seeds=\[0, 1, 2\]')])
def test_a_checkpoint_of_other_settings_is_refused(stage, change, message):
    model = whole_chain()
    model.fit(Scenes())
    stages = [dict(one) for one in (CBFE, CLUSTERING, COMMUNITIES)]
    stages[stage].update(change)
    with pytest.raises(ValueError, match=message):
        segmentor(*stages).load_state_dict(model.state_dict())


def test_several_clusterings_and_seeds_multiply():
    model = segmentor(CBFE, dict(CLUSTERING, seeds=2), dict(COMMUNITIES, seeds=3), seeds=2)
    model.fit(Scenes())
    labels = model.run_stages(scene_batch([1, 2])).labels
    assert labels.shape == (2 * 2 * 3, 2, 8, 8)
    assert model.postprocessors['communities'].matrix.shape == (4, 7, 7)
    for variant in labels:
        assert same_partition(variant, objects([1, 2]))


def _fit_distributed(rank_parts):
    from mmengine.dist import get_rank, get_world_size
    model = whole_chain()
    model.fit(Scenes(rank=get_rank(), world=get_world_size()) if rank_parts else Scenes())
    return {key: value.clone() for key, value in model.state_dict().items()}


def test_two_processes_fit_what_one_fits():
    alone = whole_chain()
    alone.fit(Scenes())
    for state in run_distributed(_fit_distributed, 2, True):
        assert state.keys() == alone.state_dict().keys()
        for key, value in alone.state_dict().items():
            if not key.endswith('fit_info'):
                torch.testing.assert_close(state[key], value, msg=key)


def test_images_of_other_extents_are_cut_out():
    """Padding changes neither what is fitted nor what is predicted."""
    model, padded = whole_chain(), whole_chain()
    model.fit(Scenes())
    padded.fit(_Padded())
    stages, others = model.postprocessors, padded.postprocessors
    assert torch.equal(stages['communities'].communities, others['communities'].communities)
    torch.testing.assert_close(stages['foreground'].precisions, others['foreground'].precisions)


class _Padded(Scenes):

    def __iter__(self):
        for batch in super().__iter__():
            features = batch.features
            features.maps = (torch.nn.functional.pad(features.maps[0], (0, 3, 0, 2), value=5.), )
            attention = features.cls_attention.view(len(batch), 2, 8, 8)
            features.cls_attention = torch.nn.functional.pad(attention, (0, 3, 0, 2), value=0.5).flatten(2)
            features.grid = (10, 11)
            yield batch


def test_a_fitted_checkpoint_keeps_the_order_of_its_stages(tmp_path):
    """MMEngine sorts the keys of a config that it writes: 'clusters' would come before 'foreground'."""
    stages = dict(foreground=CBFE, clusters=CLUSTERING, communities=COMMUNITIES)
    model = segmentor_of(stages)
    model.fit(Scenes())
    cfg = Config(dict(model=dict(type='leopart_mm.UnsupervisedSegmentor', postprocessors=stages)))
    save_fitted_checkpoint(model, tmp_path / 'fitted.pth', cfg)
    checkpoint = load_checkpoint_file(tmp_path / 'fitted.pth')
    read = config_of(checkpoint, 'fitted.pth').model
    assert list(read.postprocessors) == ['clusters', 'communities', 'foreground']
    again = segmentor()
    again.postprocessors = StageChain(read.postprocessors, read.stage_order)
    load_state_dict(again, checkpoint['state_dict'], strict=True)
    assert list(again.postprocessors) == list(stages)
    batch = scene_batch([0, 1, 2])
    torch.testing.assert_close(again.run_stages(batch).labels, model.run_stages(batch).labels)
    assert 'stage_order' not in cfg.model
