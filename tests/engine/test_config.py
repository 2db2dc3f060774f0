"""Path variables given on the command line reach every place of the config that was filled from them."""

import pytest
from mmengine.config import Config

from leopart_mm.engine.config import load_config, spread_value

BASE = """
data_root = 'data/images'
checkpoint = 'checkpoints/dino.pth'
train_dataloader = dict(dataset=dict(type='X', data_root=data_root, pipeline=[dict(type='L', root=data_root)]))
fit_dataloader = dict(dataset=dict(ann_file=data_root + '/list.txt', other='data/images_of_others'))
"""
CHILD = """
_base_ = './base.py'
model = dict(backbone=dict(checkpoint={{_base_.checkpoint}}, names=('data/images', 3)))
default_scope = 'mmseg'
scopes = ['mmseg']
"""


@pytest.fixture
def config_file(tmp_path):
    (tmp_path / 'base.py').write_text(BASE)
    (tmp_path / 'child.py').write_text(CHILD)
    return tmp_path / 'child.py'


def test_path_variables_spread(config_file):
    cfg = load_config(config_file, {'data_root': '/my/photos', 'checkpoint': 'w.pth'})
    assert cfg.data_root == '/my/photos'
    assert cfg.train_dataloader.dataset.data_root == '/my/photos'
    assert cfg.train_dataloader.dataset.pipeline[0].root == '/my/photos'
    assert cfg.fit_dataloader.dataset.ann_file == '/my/photos/list.txt'
    assert cfg.fit_dataloader.dataset.other == 'data/images_of_others'
    assert cfg.model.backbone.checkpoint == 'w.pth'
    assert tuple(cfg.model.backbone.names) == ('/my/photos', 3)


def test_dotted_override_wins_over_the_variable(config_file):
    cfg = load_config(config_file, {'data_root': '/a', 'train_dataloader.dataset.data_root': '/b'})
    assert cfg.train_dataloader.dataset.data_root == '/b'
    assert cfg.train_dataloader.dataset.pipeline[0].root == '/a'


def test_iterations_reach_the_schedules(tmp_path):
    (tmp_path / 'run.py').write_text("""
iterations = 200
param_scheduler = [dict(type='LinearLR', begin=0, end=20), dict(type='C', T_max=iterations, begin=20, end=iterations)]
train_cfg = dict(max_iters=iterations)
model = dict(num_clusters=200)
""")
    cfg = load_config(tmp_path / 'run.py', {'iterations': 50, 'model.depth': 200})
    assert cfg.iterations == cfg.train_cfg.max_iters == cfg.param_scheduler[1].T_max == 50
    assert [one.end for one in cfg.param_scheduler] == [20, 50]
    assert cfg.model == dict(num_clusters=200, depth=200)
    with pytest.raises(ValueError, match='iterations=0'):
        load_config(tmp_path / 'run.py', {'iterations': 0})


def test_checkpoint_can_be_taken_away(config_file):
    assert load_config(config_file, {'checkpoint': None}).model.backbone.checkpoint is None


def test_other_keys_do_not_spread(config_file):
    cfg = load_config(config_file, {'default_scope': 'mmpretrain'})
    assert cfg.default_scope == 'mmpretrain'
    assert list(cfg.scopes) == ['mmseg']


def test_without_options_it_is_the_plain_config(config_file):
    assert load_config(config_file)._cfg_dict == Config.fromfile(config_file)._cfg_dict


def test_bad_input_is_named(config_file, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nothing\.py'):
        load_config(tmp_path / 'nothing.py')
    with pytest.raises(ValueError, match='data_root'):
        load_config(config_file, {'data_root': None})


def test_spread_value_keeps_other_strings():
    node = {'a': ['x', 'x/y', 'xy'], 'b': ('x', {'c': 'x'})}
    assert spread_value(node, 'x', 'new/') == {'a': ['new/', 'new/y', 'xy'], 'b': ('new/', {'c': 'new/'})}
