"""Every image goes through the network once: counted, and with the results of computing everything again."""

import tempfile

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from leopart_mm.engine.config import load_config
from leopart_mm.models.fitting.feature_cache import FeatureCache
from leopart_mm.models.postprocessors import ForegroundClustering
from tests.counting import count_passes
from tests.distributed import run_distributed
from tests.tools.unsupervised import make

FITTED, TESTED = 16, 4  # images of the generated data set: train and val together, and val


@pytest.fixture(scope='module')
def chain(tmp_path_factory):
    """Config of the whole chain on 16 images of which 4 are tested."""
    folder = tmp_path_factory.mktemp('chain')
    config, weights, _ = make(folder)
    cfg = load_config(config)
    cfg.load_from = str(weights)
    cfg.work_dir = str(folder / 'work')
    cfg.launcher = 'none'
    return cfg


def run(cfg, cache, **options):
    """Metrics, predictions, and the loop."""
    cfg = Config(cfg._cfg_dict.to_dict())
    cfg.merge_from_dict(options)
    cfg.test_cfg.cache = cache
    cfg.experiment_name = f'run_{np.random.default_rng().integers(1 << 60)}'
    runner = Runner.from_cfg(cfg)
    predictions = []
    process = runner.test_loop.evaluator.process
    runner.test_loop.evaluator.process = lambda data_samples, data_batch: (
        predictions.extend(sample.clone() for sample in data_samples), process(data_samples, data_batch))
    return runner.test(), predictions, runner


def assert_same(ours, theirs):
    assert ours[0] == theirs[0]
    for one, two in zip(ours[1], theirs[1], strict=True):
        assert one.metainfo['img_path'] == two.metainfo['img_path']
        assert torch.equal(one.pred_sem_seg.data, two.pred_sem_seg.data)
        assert torch.equal(one.pred_clusters.data, two.pred_clusters.data)
    states = [result[2].model.state_dict() for result in (ours, theirs)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[1])


@pytest.fixture(scope='module')
def recomputed(chain):
    init_default_scope('mmseg')
    return run(chain, None)


@pytest.mark.parametrize('cache', ['auto', 'memory', 'disk'])
def test_the_chain_runs_the_network_once_per_image(chain, recomputed, passes, cache):
    ours = run(chain, cache)
    assert len(passes) == FITTED
    assert set(passes.values()) == {1}
    assert_same(ours, recomputed)


def test_where_only_reduced_features_find_a_place_the_network_runs_twice(chain, recomputed, passes, monkeypatch):
    places = iter([None, 'memory'])  # of the maps; of reduced features and label maps
    monkeypatch.setattr('leopart_mm.models.fitting.cache.choose_place', lambda *_: next(places))
    ours = run(chain, 'auto')
    assert (len(passes), set(passes.values())) == (FITTED, {2})
    assert_same(ours, recomputed)


def test_where_nothing_finds_a_place_all_is_computed_again(chain, recomputed, passes, monkeypatch):
    monkeypatch.setattr('leopart_mm.models.fitting.cache.choose_place', lambda *_: None)
    ours = run(chain, 'auto')
    assert sum(passes.values()) == 4 * FITTED + TESTED
    assert_same(ours, recomputed)


def test_without_a_cache_each_stage_computes_again(chain, passes):
    run(chain, None)
    assert sum(passes.values()) == 4 * FITTED + TESTED


HEAD_ONLY = {'model.postprocessors': [], 'test_evaluator.matching': 'precision'}


def test_a_head_alone_keeps_only_what_is_tested(chain, passes, monkeypatch):
    ours = run(chain, 'memory', **HEAD_ONLY)
    assert (len(passes), set(passes.values())) == (FITTED, {1})
    passes.clear()
    theirs = run(chain, None, **HEAD_ONLY)
    assert sum(passes.values()) == FITTED + TESTED
    assert_same(ours, theirs)
    kept = []
    put = FeatureCache.put
    monkeypatch.setattr(FeatureCache, 'put', lambda self, batch, *args: (kept.extend(batch.names),
                                                                         put(self, batch, *args)))
    run(chain, 'auto', **HEAD_ONLY)
    assert sorted(kept) == sorted(sample.img_path for sample in ours[1])


@pytest.mark.parametrize(('kind', 'further'), [('BlackImage', 1), ('PositionRegression', 0)])
def test_a_debias_reads_features_again_without_the_network(chain, passes, kind, further):
    debias = dict(type=f'leopart_mm.{kind}Debias', rank=4)
    ours = run(chain, 'memory', **HEAD_ONLY, **{'model.decode_head.debias': debias})
    # The further image is black, one for the single size of these images.
    assert (len(passes), set(passes.values())) == (FITTED + further, {1})
    assert ours[2].model.debias.is_fitted


def test_test_images_that_were_not_fitted_on_run_beside_those_that_were(chain, passes):
    """Batches of the test set hold images of both kinds."""
    options = {'test_cfg.fit_dataloader.dataset.num_samples': 14}  # 12 of train, 2 of the 4 of val
    ours = run(chain, 'auto', **options)
    assert (len(passes), set(passes.values())) == (FITTED, {1})
    assert_same(ours, run(chain, None, **options))


def test_images_that_occur_twice_run_once(chain, passes):
    """An id listed twice in other words, or a copy of an image, has the same bytes."""
    cfg = Config(chain._cfg_dict.to_dict())
    fit = cfg.test_cfg.fit_dataloader.dataset
    cfg.test_cfg.fit_dataloader.dataset = dict(type='ConcatDataset', datasets=[
        fit, dict(fit, split='val', num_samples=3)])
    ours = run(cfg, 'auto')
    # The second copies come batches later: their maps are dropped by then, not their reduced features.
    assert (len(passes), set(passes.values())) == (FITTED, {1})
    assert_same(ours, run(cfg, None))


def test_pictures_of_all_stages_need_no_further_pass(chain, passes, tmp_path):
    hook = dict(type='leopart_mm.StagePicturesHook', draw=True, out_dir=str(tmp_path))
    run(chain, 'auto', **{'default_hooks.visualization': hook})
    assert (len(passes), set(passes.values())) == (FITTED, {1})
    assert len(list((tmp_path / 'stages').glob('scene_*.png'))) == TESTED


def test_random_transforms_are_drawn_again_in_every_pass(chain, passes):
    run(chain, 'memory', **{'test_cfg.fit_dataloader.sampler': dict(type='leopart_mm.DrawSampler', shuffle=False)})
    assert sum(passes.values()) == 4 * FITTED + TESTED


def test_temporary_files_go_when_a_stage_fails(chain, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    seen = []
    fit = ForegroundClustering.fit

    def failing(self, stream):
        fit(self, stream)
        seen.extend(tmp_path.glob('leopart_mm_features_*/*'))
        raise ValueError('a stage that fails')

    monkeypatch.setattr(ForegroundClustering, 'fit', failing)
    with pytest.raises(ValueError, match='a stage that fails'):
        run(chain, 'disk')
    assert seen
    assert not list(tmp_path.iterdir())


def test_half_precision_changes_few_labels(chain):
    """The bound that ImageCache's description gives."""
    ours = run(chain, dict(place='memory', half=True), **HEAD_ONLY)
    theirs = run(chain, None, **HEAD_ONLY)
    differ = [(one.pred_clusters.data != two.pred_clusters.data).float().mean().item()
              for one, two in zip(ours[1], theirs[1], strict=True)]
    assert np.mean(differ) < 0.01


def _run_a_part(cfg, cache):
    init_default_scope('mmseg')
    with pytest.MonkeyPatch.context() as patch:
        counts = count_passes(patch)
        metrics, _, _ = run(Config(cfg), cache)
    return metrics, counts


@pytest.mark.slow
def test_each_process_caches_the_images_that_it_reads(chain):
    cfg = chain._cfg_dict.to_dict()
    ours = run_distributed(_run_a_part, 2, cfg, 'auto')
    theirs = run_distributed(_run_a_part, 2, cfg, None)
    counts = ours[0][1] + ours[1][1]
    assert (len(counts), set(counts.values())) == (FITTED, {1})
    assert [len(part) for _, part in ours] == [FITTED // 2] * 2
    assert [metrics for metrics, _ in ours] == [metrics for metrics, _ in theirs]
