import pytest
import torch
from scipy.optimize import linear_sum_assignment

from leopart_mm.models.decode_heads import NotFittedError
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


def same_partition(labels, reference):
    """Whether a one-to-one renaming turns `labels` into `reference`."""
    table = torch.zeros(int(labels.max()) + 1, int(reference.max()) + 1, dtype=torch.long)
    table.index_put_((labels.flatten(), reference.flatten()), torch.ones(labels.numel(), dtype=torch.long), True)
    rows, columns = linear_sum_assignment(-table.numpy())
    return table.numpy()[rows, columns].sum() == labels.numel()


def test_parts_become_objects():
    model = whole_chain()
    model.fit(Scenes())
    labels = model.label_batch(scene_batch(list(range(12, 18))))  # new images, no refit
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
    assert torch.equal(model.label_batch(batch), other.label_batch(batch))
    assert other.num_labels == model.num_labels
    assert other.postprocessors[0].info['rule'] == 'chance'


def test_fitting_again_starts_from_nothing():
    model = whole_chain()
    model.fit(Scenes())
    before = model.label_batch(scene_batch([20, 21]))
    model.fit(Scenes())
    assert torch.equal(before, model.label_batch(scene_batch([20, 21])))


def test_attention_is_needed_for_fitting_only():
    stage = whole_chain().postprocessors[0]
    assert stage.needs_attention
    model = whole_chain()
    model.fit(Scenes())
    assert not model.postprocessors[0].needs_attention
    batch = scene_batch([3])
    batch.features.cls_attention = None
    assert model.label_batch(batch).shape == (3, 1, 8, 8)


@pytest.mark.parametrize('stage', range(3))
def test_unfitted_stages_say_so(stage):
    model = whole_chain()
    batch = scene_batch([0])
    with pytest.raises(NotFittedError, match='not fitted'):
        model.postprocessors[stage](torch.zeros(1, 1, 8, 8, dtype=torch.long), batch.features, None)


@pytest.mark.parametrize('lost', ['0.precisions', '1.centroids', '2.matrix', '2.fitted'])
def test_half_a_state_is_refused(lost):
    model = whole_chain()
    model.fit(Scenes())
    state = model.state_dict()
    state.pop(f'postprocessors.{lost}')
    with pytest.raises(ValueError, match='part of a fitted'):
        whole_chain().load_state_dict(state, strict=False)


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
    labels = model.label_batch(scene_batch([1, 2]))
    assert labels.shape == (2 * 2 * 3, 2, 8, 8)
    assert model.postprocessors[2].matrix.shape == (4, 7, 7)
    for one in labels:
        assert same_partition(one, objects([1, 2]))


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
    assert torch.equal(model.postprocessors[2].communities, padded.postprocessors[2].communities)
    torch.testing.assert_close(model.postprocessors[0].precisions, padded.postprocessors[0].precisions)


class _Padded(Scenes):

    def __iter__(self):
        for batch in super().__iter__():
            features = batch.features
            features.maps = (torch.nn.functional.pad(features.maps[0], (0, 3, 0, 2), value=5.), )
            attention = features.cls_attention.view(len(batch), 2, 8, 8)
            features.cls_attention = torch.nn.functional.pad(attention, (0, 3, 0, 2), value=0.5).flatten(2)
            features.grid = (10, 11)
            yield batch
