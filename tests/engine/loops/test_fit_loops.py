"""Evaluation through MMEngine's Runner, as tools/test.py does it, and inside a training."""

import copy
import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

import leopart_mm
from leopart_mm.engine.loops.undisturbed import undisturbed
from leopart_mm.registry import MODELS

assert leopart_mm.__version__


def run_test(config, **test_cfg):
    config = Config(copy.deepcopy(config))
    config.test_cfg.update(test_cfg)
    config.experiment_name = f'run_{np.random.default_rng().integers(1 << 60)}'
    torch.manual_seed(0)
    runner = Runner.from_cfg(config)
    return runner.test(), runner


def test_fit_test_save_and_test_again_without_fitting(eval_config, tmp_path):
    file = tmp_path / 'new' / 'fitted.pth'
    metrics, runner = run_test(eval_config, save_fitted=str(file))
    assert metrics['mIoU'] > 60  # colours are easy, also for a random network
    assert runner.model.decode_head.info['images'] == 5
    assert [path.name for path in file.parent.iterdir()] == ['fitted.pth']
    meta = torch.load(file, weights_only=True)['meta']
    assert len(meta['dataset_meta']['classes']) == len(meta['dataset_meta']['palette']) == 6
    assert 'OverclusterHead' in meta['cfg']

    again, other = run_test(dict(eval_config, load_from=str(file)))
    assert again == metrics
    assert torch.equal(other.model.decode_head.centroids, runner.model.decode_head.centroids)


def test_a_fitted_checkpoint_is_fitted_again_on_request(eval_config, tmp_path):
    file = tmp_path / 'fitted.pth'
    run_test(eval_config, save_fitted=str(file))
    state = torch.load(file, weights_only=True)
    state['state_dict']['decode_head.centroids'].zero_()
    torch.save(state, file)
    spoilt, _ = run_test(dict(eval_config, load_from=str(file)))
    refitted, _ = run_test(dict(eval_config, load_from=str(file)), refit=True)
    assert refitted['mIoU'] > spoilt['mIoU']


def test_a_folder_without_masks_is_fitted_and_not_scored(eval_config, voc_root, tmp_path):
    """As configs/leopart/fully_unsup/vits16_folder.py does."""
    config = copy.deepcopy(eval_config)
    config['test_dataloader']['dataset'] = dict(
        type='leopart_mm.UnlabelledImages', data_root=str(voc_root / 'JPEGImages'),
        pipeline=[dict(type='leopart_mm.LoadImage'), dict(type='PackSegInputs')])
    metrics, runner = run_test(dict(config, test_evaluator=[]), save_fitted=str(tmp_path / 'fitted.pth'))
    assert metrics == {}
    assert runner.model.decode_head.info['images'] == 5
    scores, _ = run_test(dict(eval_config, load_from=str(tmp_path / 'fitted.pth')))
    assert scores == run_test(eval_config)[0]  # what was fitted is the same, with and without masks


def test_a_damaged_file_changes_nothing_that_is_fitted(eval_config, voc_root, tmp_path):
    pipeline = [dict(type='leopart_mm.LoadImage'), dict(type='PackSegInputs')]
    shutil.copytree(voc_root / 'JPEGImages', tmp_path / 'images')
    config = dict(copy.deepcopy(eval_config), test_evaluator=[dict(type='leopart_mm.LabelFreeMetric')])
    config['test_dataloader']['dataset'] = dict(
        type='leopart_mm.UnlabelledImages', data_root=str(tmp_path / 'images'), pipeline=pipeline)
    metrics, whole = run_test(config)
    (tmp_path / 'images' / 'image_2_cut.png').write_bytes(b'\x89PNG')
    again, damaged = run_test(config)
    assert again == metrics
    assert whole.model.decode_head.info == damaged.model.decode_head.info
    states = [runner.model.decode_head.state_dict() for runner in (whole, damaged)]
    assert states[0].keys() == states[1].keys() >= {'mean', 'projection', 'centroids'}
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_mmsegs_inferencer_runs_a_fitted_checkpoint(eval_config, voc_root, tmp_path):
    from mmseg.apis import MMSegInferencer
    file = tmp_path / 'fitted.pth'
    _, runner = run_test(eval_config, save_fitted=str(file))
    inferencer = MMSegInferencer(Config(copy.deepcopy(eval_config)), str(file), device='cpu')
    images = [str(path) for path in sorted((voc_root / 'JPEGImages').iterdir())]
    found = inferencer(images, out_dir=str(tmp_path / 'out'))['predictions']
    assert [labels.shape for labels in found] == [(32, 48)] * 5
    assert len(list((tmp_path / 'out' / 'vis').iterdir())) == 5
    for labels, sample in zip(found, _predictions(runner), strict=True):
        np.testing.assert_array_equal(labels, sample.pred_sem_seg.data[0])


def _predictions(runner):
    return [sample for batch in runner.test_dataloader for sample in runner.model.test_step(batch)]


def test_another_data_set_can_be_fitted_on(eval_config):
    fit_dataloader = copy.deepcopy(eval_config['test_dataloader'])
    fit_dataloader['dataset'].update(num_samples=3)
    fit_dataloader['batch_size'] = 1
    _, runner = run_test(eval_config, fit_dataloader=fit_dataloader, cache='memory')
    assert runner.model.decode_head.info['images'] == 3


def test_outputs_in_an_evaluator_list(eval_config, tmp_path):
    evaluators = [dict(type='leopart_mm.ClusterMetric', prefix=name, output_dir=str(tmp_path / name), keep_results=True)
                  for name in 'ab']
    metrics, _ = run_test(dict(eval_config, test_evaluator=evaluators))
    assert {'a/mIoU', 'b/mIoU'} <= set(metrics)
    assert sorted(path.name for path in (tmp_path / 'a').glob('[!.]*')) == [f'image_{index}.png' for index in range(5)]


def test_a_model_that_cannot_be_fitted_is_refused(eval_config):
    eval_config['model'] = dict(
        type='EncoderDecoder', backbone=eval_config['model']['backbone'], test_cfg=dict(mode='whole'),
        decode_head=dict(type='FCNHead', in_channels=192, channels=4, num_classes=3, norm_cfg=None))
    with pytest.raises(TypeError, match=r'EncoderDecoder has none: use test_cfg=dict\(type=.TestLoop'):
        run_test(eval_config)


@MODELS.register_module(force=True)
class TinyTraining(BaseModel):
    """Trains a backbone to nothing in particular, with randomness in every step."""

    def __init__(self, backbone, data_preprocessor):
        super().__init__(data_preprocessor=data_preprocessor)
        self.backbone = MODELS.build(backbone)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, inputs, data_samples=None, mode='loss'):
        return dict(loss=self.dropout(self.backbone(inputs)[0]).square().mean())


class Record(Hook):
    """Keeps what each iteration gave."""

    def __init__(self):
        self.losses, self.modes, self.metrics = [], [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(float(outputs['loss']))

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.modes.append([module.training for module in runner.model.modules()])

    def after_val_epoch(self, runner, metrics=None):
        self.metrics.append(metrics)


def train(config, validate, **val_options):
    test = config['test_dataloader']
    config = dict(
        default_scope='mmseg', work_dir=config['work_dir'], log_level='WARNING', visualizer=config['visualizer'],
        experiment_name=f'train_{np.random.default_rng().integers(1 << 60)}',
        model=dict(type='leopart_mm.TinyTraining', backbone=config['model']['backbone'],
                   data_preprocessor=config['model']['data_preprocessor']),
        train_dataloader=dict(test, sampler=dict(type='InfiniteSampler', shuffle=True)),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=4, val_interval=2),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)), randomness=dict(seed=3))
    if validate:
        config.update(
            val_dataloader=test, val_evaluator=dict(type='leopart_mm.ClusterMetric', matching='precision'),
            val_cfg=dict(type='leopart_mm.FitValLoop', **val_options, segmentor=dict(
                type='leopart_mm.UnsupervisedSegmentor',
                decode_head=dict(type='leopart_mm.OverclusterHead', num_clusters=6, seeds=1, pca_dim=8, niter=5))))
    runner = Runner.from_cfg(Config(copy.deepcopy(config)))
    record = Record()
    runner.register_hook(record)
    runner.train()
    return record, runner


def test_validation_scores_the_network_in_training_and_does_not_disturb_it(eval_config):
    plain, runner = train(eval_config, validate=False)
    validated, other = train(eval_config, validate=True)
    assert [set(metrics) >= {'mIoU'} for metrics in validated.metrics] == [True, True]
    assert validated.losses == plain.losses
    assert validated.modes == plain.modes
    for (name, ours), (_, theirs) in zip(runner.model.state_dict().items(), other.model.state_dict().items(),
                                         strict=True):
        assert torch.equal(ours, theirs), name
    assert not any('decode_head' in name for name in other.model.state_dict())


def test_validation_with_several_numbers_of_clusters(eval_config):
    """Each is scored as if it were alone; hooks get one set of metrics a validation."""
    plain, _ = train(eval_config, validate=True)
    several, runner = train(eval_config, validate=True, num_clusters=(6, 3))
    assert len(several.metrics) == 2
    for alone, both in zip(plain.metrics, several.metrics, strict=True):
        assert {key: both[f'K6/{key}'] for key in alone} == alone
        assert set(both) == {f'K{number}/{key}' for number in (6, 3) for key in alone}
    assert several.losses == plain.losses
    assert runner.val_loop.evaluator.metrics[0].tables_.shape[1] == 6  # what pictures are drawn with


@pytest.mark.parametrize('numbers', [None, (6, 3)])
def test_a_validation_runs_the_network_once_per_image(eval_config, passes, numbers):
    train(eval_config, validate=True, num_clusters=numbers)
    assert (len(passes), set(passes.values())) == (5, {2})  # images of each of two validations
    passes.clear()
    train(eval_config, validate=True, num_clusters=numbers, cache=None)
    assert set(passes.values()) == {2 * 2 * len(numbers or [None])}  # fit and prediction, of each K


def test_validation_of_a_missing_part_is_refused(eval_config):
    _, runner = train(eval_config, validate=True)
    runner.val_loop.backbone = 'teacher.backbone'
    with pytest.raises(AttributeError, match=r"no part 'teacher.backbone'"):
        runner.val_loop.build_segmentor()


def test_undisturbed_puts_modes_and_random_states_back():
    model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(1, 1))
    model[0].eval()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with undisturbed(model):
        model.train()
        torch.rand(5)
        np.random.rand(3)
    assert torch.equal(torch.rand(3), expected)
    assert [module.training for module in model.modules()] == [True, False, True]


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')
