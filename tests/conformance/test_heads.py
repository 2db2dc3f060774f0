"""Every registered fittable head keeps the contract of `FittableHead`."""

import copy

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting.base import FittableHead
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.state import NotFittedError
from leopart_mm.registry import MODELS
from tests.conformance.registered import registered_classes

GRID, CHANNELS = (4, 5), 6
ROWS = torch.randn(3, CHANNELS, generator=torch.Generator().manual_seed(5))
PROBES = {'linear_probe.weight': ROWS[..., None, None], 'linear_probe.bias': ROWS[:, 0], 'cluster_probe.clusters': ROWS}
EXTENTS = [Extent(0, 4, 0, 5), Extent(0, 3.5, 1, 5)]

# Name of the case -> arguments of the head. A head without a case fails below.
CASES = {
    'OverclusterHead': dict(num_clusters=3, seeds=2, pca_dim=4, niter=5, nredo=1),
    'OverclusterHead on resized maps': dict(num_clusters=3, seeds=1, pca_dim=None, feature_size=(6, 5), niter=5,
                                            nredo=1),
    'ProbeHead': dict(num_clusters=3, checkpoint=PROBES),
    'ProbeHead of classes': dict(num_clusters=3, checkpoint=PROBES, probe='linear'),
    'RetrievalHead': dict(num_classes=3, k=2),
}


@pytest.fixture(params=CASES, ids=lambda case: case.replace(' ', '-'))
def case(request):
    return dict(CASES[request.param], type=f'leopart_mm.{request.param.split()[0]}')


def batches(count=2, padding=0.):
    """Two images per batch, of three kinds of cells with labels to match; cells of padding hold `padding`."""
    result = []
    for number in range(count):
        generator = torch.Generator().manual_seed(number)
        kinds = torch.randint(0, 3, (2, *GRID), generator=generator)
        centres = torch.randn(3, CHANNELS, generator=torch.Generator().manual_seed(99)) * 3
        maps = (centres[kinds] + 0.1 * torch.randn(2, *GRID, CHANNELS, generator=generator)).permute(0, 3, 1, 2)
        maps = maps.contiguous()
        maps[1, :, :, 0] += padding  # outside of the second extent
        samples = [SegDataSample(gt_sem_seg=PixelData(data=image[None])) for image in (kinds[0], kinds[1, :, 1:])]
        names = [f'{number}_{index}' for index in range(2)]
        result.append(FeatureBatch(DenseFeatures((maps, ), GRID), samples, names, list(EXTENTS)))
    return result


def fitted(case, **kwargs):
    head = MODELS.build(case).eval()
    head.fit(batches(**kwargs))
    return head


def values(prediction):
    return prediction.scores if prediction.labels is None else prediction.labels


def test_every_head_has_a_case():
    assert {cls.__name__ for cls in registered_classes(MODELS, FittableHead)} == {case.split()[0] for case in CASES}


def test_a_prediction_has_the_images_the_labels_and_the_extents_of_its_grid(case):
    head = fitted(case)
    batch = batches()[0]
    prediction = head.predict(batch)
    assert len(prediction) == 2
    assert prediction.num_labels == head.num_clusters
    assert prediction.extents == batch.extents_on(prediction.grid)
    labels = prediction.hard_labels
    assert labels.dtype == torch.int64
    assert 0 <= int(labels.min()) <= int(labels.max()) < head.num_clusters
    scores = head(batch.features.maps)  # of the first variant, the largest is the label
    assert torch.equal(scores.argmax(1), labels[0])


def test_an_unfitted_head_says_so_and_one_that_forgets_too(case):
    head = MODELS.build(case)
    assert not head.is_fitted
    with pytest.raises(NotFittedError, match='FitTestLoop'):
        head.predict(batches()[0])
    head.fit(batches())
    assert head.is_fitted
    head.reset()
    assert not head.is_fitted
    with pytest.raises(NotFittedError):
        head.predict(batches()[0])
    with pytest.raises(NotImplementedError, match='no loss'):
        head.loss()


def test_a_checkpoint_holds_all_that_was_fitted_or_is_refused(case):
    head, other = fitted(case), MODELS.build(case).eval()
    state = copy.deepcopy(head.state_dict())
    other.load_state_dict(state)
    batch = batches()[1]
    assert other.info == head.info
    assert torch.equal(values(other.predict(batch)), values(head.predict(batch)))
    for name in type(head).STATE:
        lost = {key: value for key, value in state.items() if key != name}
        with pytest.raises(ValueError, match=f'{name} is missing'):
            MODELS.build(case).load_state_dict(lost, strict=False)
    changed = 'num_classes' if 'num_classes' in case else 'num_clusters'
    with pytest.raises(ValueError, match=f'fitted with {changed}=3'):
        MODELS.build(dict(case, **{changed: 4})).load_state_dict(state)


def test_images_without_padding_decide_alone(case):
    """Neither what is fitted nor what is predicted of an image depends on the cells of padding."""
    clean, noisy = fitted(case), fitted(case, padding=50.)
    batch = batches()[0]
    for index in range(2):
        rows, columns, _ = clean.predict(batch).content(index)
        if 'feature_size' in case:
            rows = columns = slice(3, None)  # interpolation reaches one cell into the image
        ours, theirs = (values(head.predict(batch))[..., rows, columns][:, index] for head in (clean, noisy))
        if 'feature_size' not in case:
            torch.testing.assert_close(ours, theirs)


def test_fitting_again_gives_the_same(case):
    head = fitted(case)
    before = {key: value.clone() for key, value in head.state_dict().items()}
    head.fit(batches())
    assert all(torch.equal(value, before[key]) for key, value in head.state_dict().items())


def test_a_stream_without_images_is_an_error(case):
    if case['type'] == 'leopart_mm.ProbeHead':
        pytest.skip('it takes what it fits from a file')
    with pytest.raises(ValueError, match='empty'):
        MODELS.build(case).fit([])


def test_reduced_features_are_the_ones_that_are_clustered(case):
    head, batch = fitted(case), batches()[0]
    if not head.can_reduce:
        with pytest.raises(TypeError, match='reduced features, which'):
            head.reduce(batch.features.maps)
        return
    whole = values(head.predict(batch))
    batch.features.reduced = head.reduce(batch.features.maps)
    assert batch.features.reduced.shape[-2:] == whole.shape[-2:]
    batch.features.maps = (torch.empty(2, 0, *GRID), )
    assert torch.equal(values(head.predict(batch)), whole)
