"""What tools/train.py and tools/test.py make of their arguments."""

import argparse
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config

from leopart_mm.cli.arguments import add_common_arguments
from leopart_mm.engine.cli import add_tensorboard, add_training_page, config_from_args

CONFIG = """
data_root = 'data/x'
iterations = 5
train_cfg = dict(max_iters=iterations)
env_cfg = dict(dist_cfg=dict(backend='nccl'))
train_dataloader = dict(num_workers=2, dataset=dict(data_root=data_root))
"""


@pytest.fixture
def parse(tmp_path):
    (tmp_path / 'configs/mine/linear').mkdir(parents=True)
    (tmp_path / 'configs/mine/linear/c.py').write_text(CONFIG)
    parser = argparse.ArgumentParser(prog='tool')
    parser.add_argument('config')
    add_common_arguments(parser)
    return lambda *words: parser.parse_args([str(tmp_path / 'configs/mine/linear/c.py'), *words])


def test_options_reach_the_config(parse):
    cfg = config_from_args(parse('--cfg-options', 'data_root=My Pictures, 2024', 'iterations=3', '--no-pin-memory'))
    assert cfg.train_dataloader.dataset.data_root == 'My Pictures, 2024'
    assert cfg.train_cfg.max_iters == 3
    assert cfg.train_dataloader.pin_memory is False
    assert cfg.work_dir == 'work_dirs/mine_linear_c'


def test_last_value_wins(parse):
    cfg = config_from_args(parse('--cfg-options', 'data_root=a', 'data_root=b=c', '--work-dir', 'w'))
    assert (cfg.data_root, cfg.work_dir) == ('b=c', 'w')


@pytest.mark.parametrize(('options', 'seconds'), [((), 24 * 3600), (('env_cfg.dist_cfg.timeout=7', ), 7)])
def test_processes_wait_as_long_as_one_of_them_fits(parse, monkeypatch, options, seconds):
    joined = []
    monkeypatch.setattr(dist, 'init_process_group', lambda *args, **kwargs: joined.append((args, kwargs)))
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    cfg = config_from_args(parse('--launcher', 'pytorch', '--cfg-options', 'iterations=3', *options))
    assert joined == [(('gloo', ), dict(timeout=timedelta(seconds=seconds)))]
    assert cfg.env_cfg.dist_cfg == dict(backend='nccl', timeout=seconds)  # what MMEngine joins GPUs with
    assert 'timeout' not in config_from_args(parse()).env_cfg.dist_cfg


def test_mistakes_end_in_one_line(parse, capsys):
    with pytest.raises(ValueError, match=r"has no 'iteratons', .* Did you mean 'iterations'"):
        config_from_args(parse('--cfg-options', 'iteratons=2'))
    with pytest.raises(SystemExit):
        parse('--cfg-options', 'data_root=My', 'Pictures')
    assert "'Pictures' is not KEY=VALUE" in capsys.readouterr().err


def test_every_training_gets_one_page_of_curves():
    cfg = Config(dict(custom_hooks=[dict(type='a')]))
    add_training_page(cfg)
    add_training_page(cfg)
    assert cfg.custom_hooks == [dict(type='a'), dict(type='leopart_mm.TrainingPageHook')]
    cfg = Config(dict(custom_hooks=[dict(type='TrainingPageHook', interval=3)]))
    add_training_page(cfg)
    assert cfg.custom_hooks == [dict(type='TrainingPageHook', interval=3)]
    cfg = Config({})
    add_training_page(cfg)
    assert len(cfg.custom_hooks) == 1


def test_tensorboard_is_a_second_backend(monkeypatch):
    monkeypatch.setattr('leopart_mm.engine.cli.find_spec', lambda name: True)
    cfg = Config(dict(visualizer=dict(type='mmseg.SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')])))
    add_tensorboard(cfg)
    add_tensorboard(cfg)
    assert cfg.visualizer.type == 'mmseg.SegLocalVisualizer'
    assert [backend['type'] for backend in cfg.visualizer.vis_backends] == ['LocalVisBackend', 'TensorboardVisBackend']
    cfg = Config({})
    add_tensorboard(cfg)
    assert [backend['type'] for backend in cfg.visualizer.vis_backends] == ['LocalVisBackend', 'TensorboardVisBackend']


def test_tensorboard_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr('leopart_mm.engine.cli.find_spec', lambda name: None)
    with pytest.raises(RuntimeError, match=r"pip install 'leopart_mm\[tensorboard\]'.*training.html"):
        add_tensorboard(Config({}))
