"""Dense retrieval through MMEngine's Runner: labels reach the fit, passes differ, the fitted file is whole."""

import copy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

import leopart_mm
from tests.distributed import run_distributed
from tests.engine.loops.test_fit_loops import run_test

assert leopart_mm.__version__


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


@pytest.fixture
def retrieval(eval_config):
    """Four images fill the memory, the five of the val split are scored."""
    eval_config['model'].update(
        type='leopart_mm.RetrievalSegmentor',
        decode_head=dict(type='leopart_mm.RetrievalHead', num_classes=3, k=2))
    fit_dataloader = copy.deepcopy(eval_config['test_dataloader'])
    fit_dataloader['dataset'].update(num_samples=4)
    eval_config['test_cfg']['fit_dataloader'] = fit_dataloader
    eval_config['test_evaluator'] = dict(type='leopart_mm.ClusterMetric', matching=['direct', 'hungarian'])
    return eval_config


def test_fit_on_labels_score_save_and_test_again(retrieval, voc_root, tmp_path):
    file = tmp_path / 'fitted.pth'
    metrics, runner = run_test(retrieval, save_fitted=str(file))
    assert metrics['mIoU'] == metrics['direct/mIoU'] > 90  # colours are easy, also for a random network
    assert metrics['hungarian/mIoU'] >= metrics['direct/mIoU']
    assert runner.model.decode_head.info == dict(images=4, void_images=0, patches=24, rows=24, passes=1, channels=192)
    meta = torch.load(file, weights_only=True)['meta']['dataset_meta']
    assert meta['classes'] == ('red', 'green', 'blue')
    assert len(meta['palette']) == 3

    again, _ = run_test(dict(retrieval, load_from=str(file)))
    assert again == metrics

    from mmseg.apis import MMSegInferencer
    inferencer = MMSegInferencer(Config(copy.deepcopy(retrieval)), str(file), device='cpu')
    found = inferencer([str(path) for path in sorted((voc_root / 'JPEGImages').iterdir())])['predictions']
    for labels, batch in zip((found[:2], found[2:4], found[4:]), runner.test_dataloader, strict=True):
        for ours, sample in zip(labels, runner.model.test_step(batch), strict=True):
            np.testing.assert_array_equal(ours, sample.pred_sem_seg.data[0])


def test_every_pass_draws_its_augmentation_again_for_any_number_of_workers(retrieval):
    fit = retrieval['test_cfg']['fit_dataloader']
    fit['dataset']['pipeline'] = [
        dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),
        dict(type='leopart_mm.RandomColourJitter', prob=1.), dict(type='leopart_mm.SegRandomResizedCrop', size=32),
        dict(type='PackSegInputs')]
    fit['sampler'] = dict(type='leopart_mm.DrawSampler', shuffle=False, round_up=False)
    retrieval['model']['decode_head']['passes'] = 2
    keys = []
    for workers in (0, 2):
        fit['num_workers'] = workers
        _, runner = run_test(retrieval)
        keys.append(runner.model.decode_head.keys)
    assert len(keys[0]) == 2 * 4 * 4
    assert torch.equal(keys[0], keys[1])
    assert not torch.isclose(keys[0][:16], keys[0][16:]).all(1).any()


def test_images_without_labels_are_named(retrieval):
    retrieval['test_cfg']['fit_dataloader']['dataset']['pipeline'] = [
        dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    with pytest.raises(ValueError, match=r'image_0\.png has no labels.*LoadAnnotations'):
        run_test(retrieval)


def _run(config, file, round_up):
    init_default_scope('mmseg')
    config['test_dataloader']['sampler']['round_up'] = round_up
    config['test_dataloader']['batch_size'] = 1
    try:
        metrics, runner = run_test(config, save_fitted=file)
    except ValueError as error:
        return str(error)
    return metrics, len(runner.model.decode_head.keys)


@pytest.mark.slow
def test_two_processes_share_the_memory_and_score_what_one_does(retrieval, tmp_path):
    alone, _ = run_test(retrieval)
    file = tmp_path / 'fitted.pth'
    results = run_distributed(_run, 2, retrieval, str(file), True)
    for metrics, rows in results:
        assert metrics == alone
        assert rows == 12
    assert len(torch.load(file, weights_only=True)['state_dict']['decode_head.keys']) == 24
    loaded, _ = run_test(dict(retrieval, load_from=str(file)))
    assert loaded == alone
    for message in run_distributed(_run, 2, retrieval, str(file), False):
        assert 'would predict 3, 2 batches' in message
        assert 'round_up=True' in message
