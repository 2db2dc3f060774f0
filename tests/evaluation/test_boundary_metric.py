"""BoundaryF1Metric: hand-made masks, targets, ignored pixels, one against two processes."""

import numpy as np
import pytest
import torch
import torch.distributed as dist

from leopart_mm.evaluation import BoundaryF1Metric, boundary_f1
from leopart_mm.registry import METRICS
from tests.distributed import run_distributed

CLASSES = ('background', 'a', 'b', 'c')


def square(start, stop, value=1, size=40):
    mask = np.zeros((size, size), np.uint8)
    mask[start:stop, start:stop] = value
    return mask


def sample(gt, pred):
    return dict(gt_sem_seg=dict(data=torch.from_numpy(gt)[None]), pred_sem_seg=dict(data=torch.from_numpy(pred)[None]))


def metric(**kwargs):
    built = METRICS.build(dict(type='leopart_mm.BoundaryF1Metric', eval_size=None, threshold=3, **kwargs))
    built.dataset_meta = dict(classes=CLASSES)
    return built


def evaluate(built, samples):
    built.process(None, samples)
    return built.evaluate(len(samples))


def test_foreground_by_hand():
    gt = square(10, 30)
    near, far = square(11, 29), square(18, 22)
    assert evaluate(metric(), [sample(gt, gt)]) == dict(BF1=100., BF1_image=100.)
    assert evaluate(metric(), [sample(gt, near)])['BF1'] == 100.
    # 0/0 leaves the image out, an empty prediction counts 0
    assert evaluate(metric(), [sample(gt, gt), sample(gt, far)])['BF1'] == 100.
    assert evaluate(metric(), [sample(gt, gt), sample(gt, np.zeros_like(gt))])['BF1'] == 50.
    # all labels but the background are one mask
    assert evaluate(metric(), [sample(gt * 2, gt * 3)])['BF1'] == 100.
    assert evaluate(metric(pred_background=(0, 3)), [sample(gt, gt * 3)])['BF1'] == 0.


def test_targets_and_ignored_pixels():
    gt = square(10, 30)
    gt[10:30, 30:36] = 255  # void beside the object
    pred = square(10, 30)
    foreground = evaluate(metric(), [sample(gt, pred)])['BF1']
    assert foreground == pytest.approx(100 * boundary_f1(gt != 0, pred != 0, 3))
    assert 0 < foreground < 100  # void is foreground
    assert evaluate(metric(mask_ignored=True), [sample(gt, pred)])['BF1'] == 100.
    background = evaluate(metric(target='background'), [sample(gt, pred)])['BF1']
    assert background == pytest.approx(100 * boundary_f1(gt == 0, pred == 0, 3))
    assert evaluate(metric(target='classes', mask_ignored=True), [sample(gt, pred)])['BF1'] == 100.


def test_classes_and_their_means():
    images = [sample(square(10, 30, 1), square(10, 30, 1)), sample(square(10, 30, 1), np.zeros((40, 40), np.uint8)),
              sample(square(10, 30, 2), square(10, 30, 2))]
    # class 1: 100 and 0; class 2: 100; class 3 never occurs
    result = evaluate(metric(target='classes'), images)
    assert result['BF1'] == pytest.approx(75)
    assert result['BF1_image'] == pytest.approx(200 / 3)


def test_size_of_evaluation():
    small, large = square(5, 15, size=20), square(10, 30, size=40)
    built = METRICS.build(dict(type='leopart_mm.BoundaryF1Metric', eval_size=(40, 40), threshold=1))
    assert evaluate(built, [sample(large, small)])['BF1'] == 100.
    assert evaluate(metric(prefix='x'), [sample(large, small.repeat(2, 0).repeat(2, 1))])['x/BF1'] == 100.


def test_errors():
    with pytest.raises(ValueError, match='target'):
        BoundaryF1Metric(target='parts')
    with pytest.raises(ValueError, match='threshold=0'):
        BoundaryF1Metric(threshold=0)
    with pytest.raises(ValueError, match='no ground truth'):
        metric().process(None, [dict(pred_sem_seg=1)])
    with pytest.raises(ValueError, match='saw no image'):
        metric().evaluate(3)
    built = METRICS.build(dict(type='leopart_mm.BoundaryF1Metric', target='classes'))
    with pytest.raises(ValueError, match='names of the classes'):
        evaluate(built, [sample(square(1, 3), square(1, 3))])


def random_samples(count=7):
    rng = np.random.default_rng(0)
    return [sample(*(square(low, low + 12, int(rng.integers(1, 4))) for low in rng.integers(2, 20, 2)))
            for _ in range(count)]


def _evaluate_share(round_up):
    samples = random_samples()
    rank, world = dist.get_rank(), dist.get_world_size()
    mine = samples[rank::world]
    if round_up and len(mine) < -(-len(samples) // world):
        mine.append(samples[0])
    built = metric(target='classes')
    built.process(None, mine)
    return built.evaluate(len(samples))


@pytest.mark.slow
@pytest.mark.parametrize('round_up', [True, False])
def test_two_processes_give_the_same(round_up):
    expected = evaluate(metric(target='classes'), random_samples())
    assert 0 < expected['BF1'] < 100
    for result in run_distributed(_evaluate_share, 2, round_up):
        assert result == pytest.approx(expected)
