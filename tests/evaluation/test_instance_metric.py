"""InstanceMetric: what the file of predictions scores, from one process or two, with a folder or without."""

import json
import math

import pytest
import torch

from leopart_mm.datasets.coco_json import write_coco
from leopart_mm.evaluation import InstanceMetric
from leopart_mm.evaluation.instance_report import evaluate_instances
from tests.distributed import run_distributed
from tests.evaluation.test_instance_writer import SIZE, sample

NUMBERS = range(5)


def write_truth(folder, **changes):
    """The objects are the masks of `sample`: instance i covers the first i + 1 columns, its label is i % 2."""
    images = [dict(id=number, file_name=f'{number}.jpg', height=SIZE[0], width=SIZE[1]) for number in NUMBERS]
    annotations = []
    for number in NUMBERS:
        for index in range(3):
            mask = dict(size=list(SIZE), counts=[0, SIZE[0] * (index + 1), SIZE[0] * (SIZE[1] - index - 1)])
            annotations.append(dict(id=len(annotations) + 1, image_id=number, category_id=index % 2, iscrowd=0,
                                    segmentation=mask, bbox=[0, 0, index + 1, SIZE[0]], area=SIZE[0] * (index + 1)))
    folder.mkdir(parents=True, exist_ok=True)
    write_coco(folder / 'gt.json', images, annotations,
               [dict(id=number, name=name) for number, name in enumerate(('cat', 'dog'))])
    return folder / 'gt.json'


def run(truth, numbers=NUMBERS, size=5, **options):
    metric = InstanceMetric(str(truth), **options)
    for number in numbers:
        metric.process(None, [sample(number, number % 4)])
    return metric.evaluate(size), metric


def test_scores_are_those_of_the_file(tmp_path):
    truth = write_truth(tmp_path)
    metrics, metric = run(truth, output_dir=str(tmp_path / 'out'))
    report = evaluate_instances(tmp_path / 'out/predictions.json', truth)
    for mode, scores in report.scores.items():
        for name in ('AP50', 'AP', 'AP75'):
            assert metrics[f'{mode}/{name}'] == pytest.approx(100 * scores.stats[name])
    assert 0 < metrics['multi/AP50'] < 100
    assert metrics['images_without'] == 2
    assert report.scores['single'].without_prediction == ['0.jpg', '4.jpg']
    assert metric.report_.summary() == report.summary()
    without, _ = run(truth)
    assert without == metrics
    assert run(truth, prefix='x')[0]['x/multi/AP'] == metrics['multi/AP']


def test_raw_clusters_and_classes_left_aside(tmp_path):
    truth = write_truth(tmp_path)
    direct, _ = run(truth)
    swapped, metric = run(truth, category_ids=[1, 0])
    assert swapped['multi/AP75'] == 0 < direct['multi/AP75']
    matched, metric = run(truth, category_ids=[1, 0], matching='hungarian')
    assert metric.report_.classes == {0: 1, 1: 0}
    assert matched['multi/AP75'] == pytest.approx(direct['multi/AP75'])
    assert run(truth, category_ids=[8, 9], class_aware=False)[0]['multi/AP50'] > 0
    assert math.isnan(run(truth, numbers=[0], size=1, modes=['single'])[0]['single/AP'])


def test_errors_are_said_in_every_process(tmp_path):
    truth = write_truth(tmp_path)
    with pytest.raises(ValueError, match=r"gt\.json cannot score these predictions: prediction 0 is of image 5"):
        run(truth, numbers=[5], size=1)
    assert run(truth, numbers=[1, 5], size=2, subset=True)[1].report_.unlisted == ['5']
    with pytest.raises(ValueError, match="modes='best' is unknown"):
        run(truth, modes=['best'])
    metric = InstanceMetric(str(truth))
    metric.dataset_meta = dict(category_ids=(0, ))
    with pytest.raises(ValueError, match=r'label 1 in image 2, but the data set has only 1 categories\. .*image_list'):
        metric.process(None, [sample(2, 2)])
    messages = run_distributed(_fails, 2, truth)
    assert messages[0] == messages[1]
    assert 'has category 9' in messages[0]


def _fails(truth):
    try:
        run(truth, numbers=[1 + torch.distributed.get_rank()], size=2, category_ids=[9, 9])
    except ValueError as error:
        return str(error)
    return None


def _on_one_of_two(truth):
    numbers = [0, 2, 4] if torch.distributed.get_rank() == 0 else [1, 3, 0]  # the sampler repeats the first image
    return run(truth, numbers)[0]


def test_two_processes_score_what_one_does(tmp_path):
    truth = write_truth(tmp_path)
    alone, _ = run(truth)
    assert run_distributed(_on_one_of_two, 2, truth) == [alone, alone]


def test_is_built_by_name_and_takes_what_the_test_tool_sets(tmp_path):
    from leopart_mm.registry import METRICS
    metric = METRICS.build(dict(type='leopart_mm.InstanceMetric', ann_file=str(write_truth(tmp_path)),
                                output_dir=str(tmp_path / 'out'), keep_results=True))
    metric.process(None, [sample(1)])
    metric.evaluate(1)
    assert len(json.loads((tmp_path / 'out/predictions.json').read_text())) == 3
