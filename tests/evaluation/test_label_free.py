"""LabelFreeMetric: numbers of hand-made maps, in batches and in parts, and words that claim no score."""

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

from leopart_mm.evaluation import LabelFreeMetric
from leopart_mm.evaluation.label_free import NO_SCORE, LabelTable, describe_labels
from leopart_mm.evaluation.label_writer import read_labels
from tests.datasets.test_examples import photo


def sample(labels, path='a.jpg', number=4):
    data = torch.as_tensor(labels)[None]
    return dict(img_path=path, pred_sem_seg=dict(data=data), num_clusters=number)


def test_numbers_of_two_maps():
    metric = LabelFreeMetric()
    metric.process(None, [sample([[0, 0], [1, 1]]), sample([[1, 1], [1, 3]])])
    found = metric.evaluate(2)
    shares = np.array([2, 5, 1]) / 8
    assert found == dict(labels=3., effective_labels=pytest.approx(np.exp(-(shares * np.log(shares)).sum()), abs=1e-4),
                         labels_per_image=2., largest_share=62.5)


def test_tables_add_up_in_any_order():
    maps = [np.random.default_rng(seed).integers(0, 5, (4, 6)) for seed in range(3)]
    parts = [LabelTable.of(labels, 5) for labels in maps]
    one, other = parts[0] + parts[1] + parts[2], parts[2] + (parts[1] + parts[0])
    assert np.array_equal(one.pixels, np.bincount(np.stack(maps).ravel(), minlength=5))
    assert describe_labels(**vars(one)) == describe_labels(**vars(other))
    assert LabelTable.of(np.array([[0, 255]]), 5).pixels.tolist() == [1, 0, 0, 0, 0]  # without data


def test_it_says_that_it_is_no_score_and_writes_the_maps(tmp_path, capsys):
    image = tmp_path / 'in' / 'a.png'
    photo(image, (2, 2))
    metric = LabelFreeMetric(output_dir=str(tmp_path / 'out'))
    metric.process(None, [sample([[0, 3], [1, 1]], str(image))])
    MMLogger.get_instance('label_free')
    metric.evaluate(1)
    said = capsys.readouterr()
    assert ('Label maps of 1 images: 3 of 4 labels occur, as even as 2.8 labels of equal size; the largest covers 50.0 '
            '% of all pixels; an image has 3.0 labels on average. ' + NO_SCORE) in said.out + said.err
    assert read_labels(tmp_path / 'out' / 'a.png').tolist() == [[0, 3], [1, 1]]


def test_a_model_without_label_maps_is_refused():
    with pytest.raises(ValueError, match=r'a.jpg: the model gives no label map'):
        LabelFreeMetric().process(None, [dict(img_path='a.jpg')])
    with pytest.raises(ValueError, match=r'a.jpg: the model does not say how many labels it has'):
        LabelFreeMetric().process(None, [sample([[0]], number=None)])
    metric = LabelFreeMetric()
    metric.process(None, [dict(sample([[0, 1]], number=None), seg_logits=dict(data=torch.zeros(3, 1, 2)))])
    assert metric.evaluate(1)['labels'] == 2


def test_an_image_in_the_place_of_an_unreadable_one_counts_once(tmp_path, capsys):
    metric = LabelFreeMetric()
    metric.process(None, [sample([[0, 0]]) | dict(stands_for='cut.jpg'), sample([[0, 0]]), sample([[1, 2]], 'b.jpg')])
    MMLogger.get_instance('label_free')
    assert metric.evaluate(3) == dict(describe_labels(np.array([2, 1, 1, 0]), np.array([1, 1, 1, 0]), 2))
    said = capsys.readouterr()
    assert 'Label maps of 2 images' in said.out + said.err
