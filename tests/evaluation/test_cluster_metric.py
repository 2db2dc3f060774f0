import logging

import cv2
import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from torchmetrics.functional.classification import multiclass_jaccard_index

from leopart_mm.evaluation import ClusterMetric, read_labels
from leopart_mm.evaluation.cluster_scores import cluster_table, label_table, mean_scores, score_tables
from leopart_mm.evaluation.label_census import count_ignored, findings
from leopart_mm.evaluation.running_table import RunningTable
from leopart_mm.geometry.patch_grid import upsample_labels
from tests.distributed import run_distributed

CLASSES = ('sky', 'grass', 'cow')


def samples(number=5, seeds=2, clusters=4, size=(20, 24)):
    generator = torch.Generator().manual_seed(0)
    result = []
    for index in range(number):
        labels = torch.randint(0, clusters, (seeds, 5, 6), generator=generator)
        gt = torch.randint(0, 3, (1, *size), generator=generator)
        gt[torch.rand(gt.shape, generator=generator) < .1] = 255
        result.append(dict(
            img_path=f'folder/{index}.jpg', num_clusters=clusters, cluster_seeds=tuple(range(seeds)),
            cluster_extent=(0, 4.6, 0, 6), pred_clusters=dict(data=labels), gt_sem_seg=dict(data=gt),
            pred_sem_seg=dict(data=upsample_labels(labels[:1], size, (0, 4.6, 0, 6)))))
    return result


def metric_of(**kwargs):
    metric = ClusterMetric(**kwargs)
    metric.dataset_meta = dict(classes=CLASSES)
    return metric


def evaluate(metric, data, batch=2):
    for start in range(0, len(data), batch):
        metric.process({}, data[start:start + batch])
    return metric.evaluate(len(data))


def test_miou_of_every_seed_equals_torchmetrics():
    data, metric = samples(), metric_of(matching='precision')
    result = evaluate(metric, data)
    mious = []
    for seed in range(2):
        mapping = torch.from_numpy(metric.scores_['precision'][seed].mapping)
        pred = torch.stack([mapping[upsample_labels(x['pred_clusters']['data'][seed], (20, 24), x['cluster_extent'])]
                            for x in data])
        gt = torch.cat([x['gt_sem_seg']['data'] for x in data])
        mious.append(float(multiclass_jaccard_index(pred, gt, 3, ignore_index=255)) * 100)
    assert result['mIoU'] == pytest.approx(np.mean(mious), rel=1e-5)
    assert result['mIoU_std'] == pytest.approx(np.std(mious), rel=1e-4)
    assert (metric.matching_ == metric.scores_['precision'][0].mapping).all()
    assert metric.tables_.sum() == 2 * sum(int((x['gt_sem_seg']['data'] != 255).sum()) for x in data)


def test_eval_size_resizes_both_as_torch_does():
    data, metric = samples(seeds=1), metric_of(eval_size=(10, 10), matching='iou')
    evaluate(metric, data)
    resize = torch.nn.functional.interpolate
    expected = torch.zeros(4, 3, dtype=torch.long)
    for x in data:
        x['cluster_extent'] = None
        pred = resize(x['pred_clusters']['data'][None].double(), (10, 10))[0, 0].long()
        gt = resize(x['gt_sem_seg']['data'][None].double(), (10, 10))[0, 0].long()
        for cluster, label in zip(pred.flatten(), gt.flatten(), strict=True):
            if label != 255:
                expected[cluster, label] += 1
    whole = metric_of(eval_size=(10, 10), matching='iou')
    evaluate(whole, data)
    assert (whole.tables_[0] == expected.numpy()).all()
    assert metric.tables_.sum() == whole.tables_.sum()


def test_a_class_that_cannot_occur_is_left_out_of_the_mean():
    """Ground truth 0 is ignored; the prediction may still say 0. By identity, and by Hungarian matching beside it."""
    gt, pred = torch.tensor([[[0, 0, 1, 1, 1, 2]]]), torch.tensor([[[0, 1, 1, 0, 2, 2]]])
    sample = dict(img_path='a.jpg', gt_sem_seg=dict(data=gt), pred_sem_seg=dict(data=pred))
    result = evaluate(metric_of(matching=['direct', 'hungarian'], ignore_index=0), [sample])
    assert result['mIoU'] == result['direct/mIoU'] == pytest.approx(100 * (1 / 3 + 1 / 2) / 2)
    published = evaluate(metric_of(matching=['direct', 'hungarian'], ignore_index=0, count_ignored=True), [sample])
    assert published['mIoU'] == pytest.approx(100 * (1 / 3 + 1 / 2) / 3)
    assert published['hungarian/mIoU'] >= published['direct/mIoU']
    assert 'hungarian/mIoU' in result


def test_auto_matching_and_lists():
    assert set(evaluate(metric_of(), samples(clusters=3))) == {
        'mIoU', 'mIoU_std', 'mIoU_occurring', 'mIoU_defined', 'aAcc', 'background_share'}
    metric = metric_of()
    evaluate(metric, samples(clusters=3))
    assert list(metric.scores_) == ['hungarian']
    metric = metric_of(matching=['auto', 'hungarian', 'precision'])
    result = evaluate(metric, samples())
    assert list(metric.scores_) == ['precision', 'hungarian']
    assert result['mIoU'] == result['precision/mIoU']
    assert result['hungarian/background_share'] == pytest.approx(100 / 3)


def test_predictions_of_any_other_model_and_a_second_evaluation():
    data = samples(1)
    plain = [dict(gt_sem_seg=data[0]['gt_sem_seg'], pred_sem_seg=dict(data=data[0]['gt_sem_seg']['data'] % 255))]
    metric = metric_of(matching='direct')
    assert evaluate(metric, plain)['mIoU'] == 100
    assert evaluate(metric, plain)['mIoU'] == 100
    assert metric.tables_.sum() == (plain[0]['gt_sem_seg']['data'] != 255).sum()


def test_absent_classes_lower_one_mean_only():
    data = samples(1, clusters=3)
    for x in data:
        x['gt_sem_seg']['data'][x['gt_sem_seg']['data'] == 2] = 255
    result = evaluate(metric_of(matching='precision'), data)
    assert result['mIoU'] == pytest.approx(result['mIoU_occurring'] * 2 / 3)


def test_the_log_names_the_protocol(monkeypatch):
    lines = []
    monkeypatch.setattr('leopart_mm.evaluation.cluster_metric.print_log',
                        lambda text, logger, level=0: lines.append(text))
    evaluate(metric_of(matching='precision'), samples())
    text = '\n'.join(lines)
    for part in ('many-to-one by precision', '4 clusters', '3 classes', 'masks at their own size', 'label 255 ignored',
                 '5 images', 'seeds 0, 1', 'cow', ' ± ', 'mIoU_occurring', 'mean over the 3 of 3 classes', 'aAcc',
                 'share of the clusters that are matched to class 0 (sky)', ' std '):
        assert part in text


def test_one_seed_has_no_deviation(monkeypatch):
    lines = []
    monkeypatch.setattr('leopart_mm.evaluation.cluster_metric.print_log',
                        lambda text, logger, level=0: lines.append(text))
    evaluate(metric_of(matching='precision'), samples(seeds=1))
    assert '±' not in '\n'.join(lines)
    assert ' std ' not in '\n'.join(lines)


def test_a_table_by_hand():
    """Two cells side by side, the image ends half a cell after the first: two thirds of it are cluster 0."""
    gt = torch.tensor([[0, 0, 1, 1, 2, 255]] * 2)
    clusters = torch.tensor([[[0, 1]], [[1, 1]]])
    found = cluster_table(clusters, gt, 2, 3, extent=(0, 1, 0, 1.5))
    assert found.tolist() == [[[4, 4, 0], [0, 0, 2]], [[0, 0, 0], [4, 4, 2]]]
    pixels = upsample_labels(clusters, (2, 6), (0, 1, 0, 1.5))
    assert torch.equal(found, torch.cat([label_table(labels, gt, 2, 3) for labels in pixels]))
    scored = score_tables(found.numpy(), ['precision'])['precision']
    assert [score.mapping.tolist() for score in scored] == [[0, 2], [0, 0]]
    assert mean_scores(dict(precision=scored)) == pytest.approx(dict(
        mIoU=(100 * (1 / 2 + 0 + 1) / 3 + 100 * 0.4 / 3) / 2, mIoU_std=100 * (1.5 - 0.4) / 6,
        mIoU_occurring=(100 * (1 / 2 + 0 + 1) / 3 + 100 * 0.4 / 3) / 2,
        mIoU_defined=(100 * (1 / 2 + 0 + 1) / 3 + 100 * 0.4 / 3) / 2, aAcc=50., background_share=75.))


@pytest.mark.parametrize(('size', 'world'), [(1, 1), (5, 1), (1, 2), (4, 2), (5, 2), (5, 3), (7, 4), (2, 3)])
def test_an_image_that_the_sampler_repeats_counts_once(size, world):
    """Every process sees what MMEngine's sampler gives it; tables are one-hot, so that a repeat would show."""
    total, images = np.zeros(size, int), 0
    for rank in range(world):
        table = RunningTable()
        for index in (np.arange(-(-size // world) * world) % size)[rank::world]:
            table.add(np.eye(size, dtype=int)[index])
        part, number = table.sum(size, rank, world)
        total, images = total + (0 if part is None else part), images + number
    assert total.tolist() == [1] * size
    assert images == size


@pytest.mark.parametrize(('clusters', 'depth'), [(4, 'uint8'), (300, 'uint16')])
def test_label_maps_and_class_maps_are_written(tmp_path, clusters, depth):
    data = samples(2, clusters=clusters)
    data[1]['img_path'] = 'other/0.jpg'
    metric = metric_of(output_dir=str(tmp_path), keep_results=True, output_classes=True)
    evaluate(metric, data)
    assert sorted(path.name for path in tmp_path.glob('*.png')) == ['folder_0.png', 'other_0.png']
    assert not list(tmp_path.glob('.*.png'))
    assert cv2.imread(str(tmp_path / 'other_0.png'), cv2.IMREAD_UNCHANGED).dtype == depth
    labels = read_labels(tmp_path / 'other_0.png')
    assert (labels == data[1]['pred_sem_seg']['data'][0].numpy()).all()
    assert (read_labels(tmp_path / 'classes' / 'other_0.png') == metric.matching_[labels]).all()


def test_several_metrics_score_several_predictions_of_a_model(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr('leopart_mm.evaluation.cluster_metric.print_log',
                        lambda text, logger, level=0: lines.append(text))
    gt = torch.tensor([[[0, 0, 1, 1, 2, 255]]])
    sample = dict(img_path='a.jpg', num_clusters=3, pred_clusters=dict(data=torch.zeros(1, 1, 1).long()),
                  gt_sem_seg=dict(data=gt), pred_sem_seg=dict(data=gt % 255),
                  pred_running=dict(data=torch.tensor([[[2, 2, 0, 0, 1, 1]]])),
                  pred_linear=dict(data=torch.tensor([[[2, 2, 1, 1, 2, 1]]])))
    evaluator = Evaluator([
        metric_of(field='pred_running', prefix='running', matching='hungarian_pixels', output_dir=str(tmp_path)),
        metric_of(field='pred_linear', prefix='linear', matching='direct', say_labels=False)])
    evaluator.dataset_meta = dict(classes=CLASSES)
    evaluator.process([sample])
    result = evaluator.evaluate(1)
    assert (result['running/aAcc'], result['running/mIoU_defined']) == (100, 100)
    assert (result['linear/aAcc'], result['linear/mIoU']) == (60, pytest.approx(100 * (0 + 1 + 1 / 3) / 3))
    assert (read_labels(tmp_path / 'a.png') == sample['pred_running']['data'][0].numpy()).all()
    assert sum(line.startswith('linear: mIoU 44.44 (no matching; 3 clusters') for line in lines) == 1
    assert sum('of the pixels of the ground truth are ignored' in line for line in lines) == 1
    with pytest.raises(ValueError, match=r"a\.jpg: The model gives no 'pred_momentum'.* it gives: pred_clusters"):
        metric_of(field='pred_momentum').process({}, [sample])


def test_extra_clusters_can_have_the_published_classes(tmp_path):
    """Clusters 0 and 1 are matched, 2 is left over: its class is its largest share, or none and in another's place."""
    gt = torch.tensor([[[0, 1, 1, 1, 0, 0, 0, 0]]])
    pred = torch.tensor([[[0, 1, 1, 1, 1, 2, 2, 2]]])
    sample = dict(img_path='a.jpg', num_clusters=3, gt_sem_seg=dict(data=gt), pred_sem_seg=dict(data=pred))
    found = {}
    for published in (False, True):
        metric = ClusterMetric(matching='hungarian_pixels', published_mapping=published, output_classes=True,
                               output_dir=str(tmp_path / str(published)))
        metric.dataset_meta = dict(classes=CLASSES[:2])
        found[published] = evaluate(metric, [sample]), metric.matching_.tolist(), read_labels(
            tmp_path / str(published) / 'classes' / 'a.png').tolist()
    assert found[False][1:] == ([0, 1, 0], [[0, 1, 1, 1, 1, 0, 0, 0]])
    assert found[True][1:] == ([1, -1, 0], [[1, 255, 255, 255, 255, 0, 0, 0]])
    assert found[False][0] == found[True][0]
    assert found[True][0]['aAcc'] == 87.5
    with pytest.raises(ValueError, match='hungarian_pixels, not of iou'):
        ClusterMetric(matching='iou', published_mapping=True)


def test_works_in_an_evaluator_of_several_metrics():
    evaluator = Evaluator([metric_of(prefix='a'), metric_of(prefix='b', matching='iou')])
    evaluator.dataset_meta = dict(classes=CLASSES)
    evaluator.process(samples())
    assert {'a/mIoU', 'b/mIoU'} <= set(evaluator.evaluate(5))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match='auto, hungarian'):
        ClusterMetric(matching='best')
    with pytest.raises(ValueError, match='saw no image'):
        metric_of().evaluate(0)
    data = samples(1)
    data[0]['gt_sem_seg']['data'][:] = 255
    with pytest.raises(ValueError, match='Not a single pixel of 1 masks'):
        evaluate(metric_of(), data)
    data = samples(1)
    data[0]['gt_sem_seg']['data'][0, 0, 0] = 9
    with pytest.raises(ValueError, match=r'folder/0.jpg: .*class ids \[9\]'):
        evaluate(metric_of(), data)
    with pytest.raises(ValueError, match='names of the classes'):
        ClusterMetric().process({}, samples(1))
    with pytest.raises(ValueError, match='no ground truth'):
        metric_of().process({}, [dict(img_path='x.jpg')])
    metric = metric_of()
    metric.process({}, samples(3))
    with pytest.raises(ValueError, match='saw 3 images of a data set of 1'):
        metric.evaluate(1)


def _evaluate_a_part(number, folder):
    import torch.distributed as dist
    from mmengine.dataset import DefaultSampler
    data = samples(number)
    metric = metric_of(matching=['precision', 'hungarian'], output_dir=folder)
    for index in DefaultSampler(data, shuffle=False, round_up=True):
        metric.process({}, [data[index]])
    return metric.evaluate(number), metric.tables_, dist.get_rank()


@pytest.mark.slow
@pytest.mark.parametrize('number', [1, 4, 5])
def test_two_processes_give_the_same_tables_though_the_sampler_repeats(tmp_path, number):
    single = metric_of(matching=['precision', 'hungarian'])
    expected = evaluate(single, samples(number))
    for result, tables, _ in run_distributed(_evaluate_a_part, 2, number, str(tmp_path)):
        assert result == expected
        assert (tables == single.tables_).all()
    assert len(list(tmp_path.glob('*.png'))) == number


def said_of(gt, monkeypatch, **options):
    """Warnings and the other lines of the log, of one image that is predicted as it is."""
    lines = []
    monkeypatch.setattr('leopart_mm.evaluation.cluster_metric.print_log',
                        lambda text, logger, level=logging.INFO: lines.append((level, text)))
    gt = torch.tensor([gt])
    result = evaluate(metric_of(matching='direct', **options),
                      [dict(img_path='a.jpg', gt_sem_seg=dict(data=gt), pred_sem_seg=dict(data=gt % 255))])
    return result, [text for level, text in lines if level == logging.WARNING], [text for _, text in lines]


def test_a_foreground_that_is_ignored_is_no_silent_100_percent(monkeypatch):
    result, warnings, _ = said_of([[0, 0, 0, 255, 255, 255, 255]], monkeypatch)
    assert result['aAcc'] == 100
    assert any(text.startswith('57.1% of the pixels of the ground truth are ignored (label 255)') for text in warnings)
    assert any('no class but 0 (sky), so aAcc and mIoU_occurring reach 100 %' in text for text in warnings)
    assert any(text.startswith('2 of 3 classes do not occur in the ground truth: grass, cow.') for text in warnings)


def test_ordinary_masks_give_no_warning(monkeypatch):
    _, warnings, lines = said_of([[0, 1, 2, 2, 255]], monkeypatch)
    assert warnings == []
    assert any(text.startswith('20.0% of the pixels of the ground truth are ignored (label 255).') for text in lines)


def test_a_class_whose_id_is_ignored_is_not_called_absent(monkeypatch):
    _, warnings, lines = said_of([[0, 1, 2, 2, 1]], monkeypatch, ignore_index=0)
    assert warnings == []
    assert any(text.startswith('20.0% of the pixels') for text in lines)


def test_wholly_ignored_images_are_counted():
    counts = sum(count_ignored(torch.tensor(labels), 255) for labels in ([0, 255], [255, 255], [1, 0])).numpy()
    assert counts.tolist() == [3, 6, 1]
    text = findings(counts, 3, np.array([True, True]), ['a', 'b'], 255)[0][1]
    assert text == '50.0% of the pixels of the ground truth are ignored (label 255), all pixels in 1 of 3 images.'


def test_maps_of_another_size_are_resized_as_opencv_does_or_refused():
    rng = np.random.default_rng(0)
    pred, gt = rng.integers(0, 3, (16, 16), dtype=np.uint8), rng.integers(0, 3, (25, 37), dtype=np.uint8)
    sample = dict(img_path='a.png', pred_sem_seg=dict(data=torch.from_numpy(pred)[None]),
                  gt_sem_seg=dict(data=torch.from_numpy(gt)[None]))
    tables = {}
    for resize in ('centre', 'corner'):
        metric = metric_of(matching='direct', resize=resize)
        evaluate(metric, [sample])
        tables[resize] = metric.tables_[0]
    resized = cv2.resize(pred, (37, 25), interpolation=cv2.INTER_NEAREST)
    assert tables['corner'].tolist() == np.histogram2d(resized.ravel(), gt.ravel(), np.arange(4) - .5)[0].tolist()
    assert (tables['corner'] != tables['centre']).any()
    metric = metric_of(matching='direct', resize=None)
    with pytest.raises(ValueError, match=r'a.png: The prediction has 16 x 16 pixels, the ground truth 25 x 37'):
        metric.process({}, [sample])
    metric.process({}, [dict(sample, pred_sem_seg=dict(data=torch.from_numpy(resized)[None]))])
    assert metric.evaluate(1)['mIoU'] > 0
    with pytest.raises(ValueError, match="resize='nearest' is unknown"):
        ClusterMetric(resize='nearest')
