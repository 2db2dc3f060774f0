"""ValueRangeHook: one range for the data sets of a run, kept in checkpoints."""

from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import Image

from leopart_mm.datasets import UnlabelledImages
from leopart_mm.engine.hooks import ValueRangeHook
from leopart_mm.evaluation import ClusterMetric

RAMP = np.linspace(0, 1, 64 * 64).reshape(64, 64)


def images(root, top, **options):
    root.mkdir()
    Image.fromarray((RAMP * top).astype(np.uint16)).save(root / 'a.tif')
    return UnlabelledImages(str(root), **options)


def runner_of(fit=None, test=None, train=None, val=None, metrics=()):
    loop = {name: None for name in ('_train_loop', '_val_loop', '_test_loop')}
    if test is not None:
        loop['_test_loop'] = SimpleNamespace(
            dataloader=SimpleNamespace(dataset=test), evaluator=SimpleNamespace(metrics=metrics),
            **({} if fit is None else dict(fit_dataloader=SimpleNamespace(dataset=fit))))
    for name, dataset in (('_train_loop', train), ('_val_loop', val)):
        if dataset is not None:
            loop[name] = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
    return SimpleNamespace(**loop)


def test_a_test_follows_what_is_fitted_on_and_a_validation_what_is_trained_on(tmp_path):
    bright, dark = images(tmp_path / 'bright', 4000), images(tmp_path / 'dark', 400, nodata=0)
    expected = bright.value_range
    ValueRangeHook().before_run(runner_of(fit=bright, test=dark))
    assert dark.value_range == expected
    other = images(tmp_path / 'other', 50)
    ValueRangeHook().before_run(runner_of(train=other, val=bright))
    assert bright.value_range == other.value_range


def test_a_checkpoint_brings_its_range_to_both_and_gets_it(tmp_path, capsys):
    MMLogger.get_instance('range', log_level='INFO')
    fit, test = images(tmp_path / 'fit', 4000), images(tmp_path / 'test', 3900)
    given = images(tmp_path / 'given', 4000, value_range=(0, 5000))
    metric = ClusterMetric()
    runner, hook = runner_of(fit=fit, test=test, metrics=[metric]), ValueRangeHook()
    checkpoint = dict(meta=dict(dataset_meta=dict(value_range=(0., 4100.), nodata=5)))
    hook.after_load_checkpoint(runner, checkpoint)
    assert fit.value_range == test.value_range == (0., 4100.)
    assert (fit.nodata, metric.nodata) == (5, 5)
    hook.after_load_checkpoint(runner_of(test=given), checkpoint)
    assert given.value_range == (0, 5000)
    said = capsys.readouterr()
    assert 'hold numbers from' not in said.out + said.err
    saved = dict(meta=dict(dataset_meta=dict(classes=['a'])))
    hook.before_save_checkpoint(runner_of(train=fit), saved)
    assert saved['meta']['dataset_meta'] == dict(classes=['a'], value_range=(0., 4100.), nodata=5)


def test_images_of_another_kind_are_pointed_out(tmp_path, capsys):
    MMLogger.get_instance('kinds', log_level='INFO')
    test = images(tmp_path / 'test', 400)
    ValueRangeHook().after_load_checkpoint(runner_of(test=test), dict(meta=dict(dataset_meta=dict(value_range=(0, 1)))))
    said = capsys.readouterr()
    assert test.value_range == (0, 1)
    assert "by which they are scaled. If they are of another kind, set value_range='measure'" in said.out + said.err


def test_bytes_need_no_range(tmp_path):
    Image.fromarray((RAMP * 255).astype(np.uint8)).save(tmp_path / 'a.png')
    dataset = UnlabelledImages(str(tmp_path))
    ValueRangeHook().before_run(runner_of(train=dataset))
    saved = {}
    ValueRangeHook().before_save_checkpoint(runner_of(train=dataset), saved)
    assert (dataset.value_range, saved) == (None, dict(meta={}))


@pytest.mark.parametrize('config', ['sample/leopart_vit-micro_sample', 'sample/overcluster_k50_vit-micro_sample',
                                    'leopart/overcluster/r50_coco-stuff_k500', 'msrc21/leopart_vit-tiny_msrc21'])
def test_our_configs_have_the_hook(config):
    from mmengine.config import Config

    from tests.paths import REPO
    hooks = Config.fromfile(REPO / 'configs' / f'{config}.py').default_hooks
    assert hooks.value_range.type == 'leopart_mm.ValueRangeHook'
