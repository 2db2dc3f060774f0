"""Labels of pixels from up-sampled features: equal to the direct computation, whatever the strips and the stages."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from leopart_mm.geometry import patch_grid
from leopart_mm.geometry.patch_grid import Extent, upsample_labels, upsample_scores, upsample_strips
from leopart_mm.models.fitting.base import Postprocessor
from leopart_mm.models.segmentors import smooth
from tests.models.postprocessors.scenes import PARTS, Scenes, scene_batch, segmentor, whole_chain

SIZE = (37, 50)


def sized(indices, size=SIZE):
    """A batch whose images have a size of their own."""
    batch = scene_batch(indices)
    for sample in batch.data_samples:
        sample.set_metainfo(dict(ori_shape=size))
    return batch


def fitted(model, segments='smooth'):
    model.fit(Scenes())
    model.segments = segments
    return model


@pytest.mark.parametrize('extent', [None, Extent(0.5, 5.25, 0, 4.5)])
@pytest.mark.parametrize('pixels', [1, 100, 10**6])
def test_strips_are_the_whole(extent, pixels):
    scores = torch.rand(3, 6, 5, generator=torch.Generator().manual_seed(0))
    parts = list(upsample_strips(scores, SIZE, extent, pixels))
    assert [rows.start for rows, _ in parts] == [0, *(rows.stop for rows, _ in parts[:-1])]
    found = torch.cat([part for _, part in parts], 1)
    torch.testing.assert_close(found, upsample_scores(scores, SIZE, extent), atol=2e-6, rtol=0)


def test_blur_is_a_gaussian_with_the_border_continued():
    maps = torch.rand(3, 5, 1, generator=torch.Generator().manual_seed(0))  # a single column
    expected = ndimage.gaussian_filter(maps.double().numpy(), (0, smooth.SIGMA, smooth.SIGMA), mode='nearest', radius=2)
    torch.testing.assert_close(smooth.blur(maps).double(), torch.from_numpy(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize('spherical', [False, True])
def test_labels_are_those_of_the_largest_upsampled_score(spherical):
    model = fitted(segmentor(spherical=spherical, seeds=2))
    batch = sized([0, 1])
    scores = torch.stack([smooth.blur(scores) for scores in model.decode_head(batch.features.maps)])
    for index, sample in enumerate(model.predict_batch(batch)):
        expected = F.interpolate(scores[index:index + 1], SIZE, mode='bilinear', align_corners=False)[0]
        best = expected.topk(2, 0).values
        clear = best[0] - best[1] > 1e-5
        assert clear.float().mean() > 0.99
        assert torch.equal(sample.pred_sem_seg.data[0][clear], expected.argmax(0)[clear])
        assert sample.pred_clusters.data.shape == (2, *SIZE)


def test_the_chain_runs_on_the_features_of_pixels(monkeypatch):
    model = fitted(whole_chain())
    batch = sized([2, 5])
    found = [sample.pred_sem_seg.data[0].clone() for sample in model.predict_batch(batch)]
    monkeypatch.setattr(smooth, 'upsample_strips', lambda *args: patch_grid.upsample_strips(*args, pixels=1))
    again = [sample.pred_sem_seg.data[0] for sample in model.predict_batch(sized([2, 5]))]
    assert all(map(torch.equal, found, again))  # strips of one row
    reduced = torch.stack([smooth.blur(maps) for maps in model.decode_head.reduce(batch.features.maps)])
    reduced = F.interpolate(reduced, SIZE, mode='bilinear', align_corners=False)
    pixels = replace(sized([2, 5]), extents=[Extent(0, 37, 0, 50)] * 2)
    pixels.features = replace(pixels.features, maps=(), grid=SIZE, reduced=reduced)
    pixels.fit_id = model.fit_id
    direct = model.run_stages(pixels).hard_labels[0]
    for index in range(2):
        assert (found[index] == direct[index]).float().mean() > 0.999  # rounding of the interpolation
        blocks = upsample_labels(model.run_stages(batch).hard_labels[0, index], SIZE)
        assert 0.75 < (found[index] == blocks).float().mean() < 1


def test_the_last_stage_is_drawn_as_its_segments_are():
    model = fitted(whole_chain())
    samples = model.predict_batch(sized([2, 5]), pictures=True)
    for sample in samples:
        *others, last = sample.metainfo['stages'].values()
        assert last['title'] == 'communities'
        assert torch.equal(last['labels'], sample.pred_sem_seg.data[0])
        assert {tuple(stage['labels'].shape) for stage in others} == {(8, 8)}


def test_blocks_stay_the_default():
    model = fitted(segmentor(), segments='blocks')
    batch = sized([3])
    sample, = model.predict_batch(batch)
    labels = model.run_stages(batch).hard_labels[0, 0]
    assert torch.equal(sample.pred_sem_seg.data[0], upsample_labels(labels, SIZE))
    assert sample.pred_clusters.data.shape == (1, 8, 8)
    with pytest.raises(ValueError, match="segments='round' is unknown; known are: blocks, smooth"):
        type(model)(torch.nn.Identity(), dict(type='leopart_mm.OverclusterHead', num_clusters=3), segments='round')


class Majority(Postprocessor):
    """A stage that looks around: labels of 3 x 3 cells."""

    def forward(self, prediction, batch):
        labels = F.one_hot(prediction.hard_labels, prediction.num_labels).movedim(-1, 2).flatten(0, 1).float()
        votes = F.avg_pool2d(labels, 3, 1, 1)
        return prediction.with_labels(votes.argmax(1).view_as(prediction.hard_labels), prediction.num_labels)


def test_after_a_stage_that_looks_around_cells_vote():
    model = fitted(segmentor(Majority()))
    batch = sized([4])
    sample, = model.predict_batch(batch)
    grid = model.run_stages(batch).hard_labels[0, 0]
    votes = smooth.blur(F.one_hot(grid, PARTS).permute(2, 0, 1).float())
    votes = F.interpolate(votes[None], SIZE, mode='bilinear')[0]
    clear = votes.amax(0) > 0.5
    assert clear.float().mean() > 0.8
    assert torch.equal(sample.pred_sem_seg.data[0][clear], votes.argmax(0)[clear])
    assert np.isin(sample.pred_sem_seg.data, grid.unique()).all()


class Scores(Postprocessor):
    """A stage that gives scores: hard labels as 0 and 1."""

    def forward(self, prediction, batch):
        scores = F.one_hot(prediction.hard_labels, prediction.num_labels).movedim(-1, 2).float()
        return replace(prediction, labels=None, scores=scores)


def test_scores_are_smoothed_and_come_to_pixels_as_before():
    model = fitted(segmentor(Scores()))
    batch = sized([4, 5])
    found = [model.run_pixel_stages(batch, index).prediction for index in range(2)]
    grid = model.run_stages(batch).scores[0]
    for index, prediction in enumerate(found):
        expected = F.interpolate(smooth.blur(grid[index])[None], SIZE, mode='bilinear')
        torch.testing.assert_close(prediction.scores[0], expected)
    sample = model.predict_batch(batch)[1]
    assert torch.equal(sample.pred_sem_seg.data, found[1].hard_labels[0])
