"""Variables on the command line reach every place that uses their name, in every file of the chain, and no other."""

import shutil

import pytest
from mmengine.config import Config

from leopart_mm.cli.arguments import TypedText
from leopart_mm.engine.config import load_config
from leopart_mm.engine.config_variables import assign, load_with_variables
from leopart_mm.engine.options import interpret

GRANDPARENT = """
val_data_root = 'data/same'
val_dataloader = dict(dataset=dict(data_root=val_data_root))
"""
BASE = """
_base_ = ['./grandparent.py']
data_root = 'data/images'
checkpoint = 'checkpoints/dino.pth'
image_size = (448, 448)
unused = 3
train_dataloader = dict(dataset=dict(type='X', data_root=data_root, pipeline=[dict(type='L', root=data_root)]))
fit_dataloader = dict(dataset=dict(ann_file=data_root + '/list.txt', other='data/images_of_others'))
resize = dict(scale=image_size)
"""
CHILD = """
_base_ = './base.py'
data_root = 'data/same'
model = dict(backbone=dict(checkpoint={{_base_.checkpoint}}, names=('data/images', 3)), base_root=_base_.data_root)
train_dataloader = dict(dataset=dict(data_root=data_root))
default_scope = 'mmseg'
scopes = ['mmseg']
"""

CONDITIONS = """place = '{{$WHERE:here}}'
if place:
    root, b = 'x', 1  # ä
else:
    root = 'y'
c = [root for root in 'q']
def f():
    root = 'z'
    return root
d = f() + root
"""


@pytest.fixture
def config_file(tmp_path):
    (tmp_path / 'grandparent.py').write_text(GRANDPARENT)
    (tmp_path / 'base.py').write_text(BASE)
    (tmp_path / 'child.py').write_text(CHILD)
    return tmp_path / 'child.py'


def test_a_variable_reaches_its_uses_in_all_files(config_file):
    cfg = load_config(config_file, {'data_root': '/my/photos', 'checkpoint': 'w.pth'})
    assert cfg.data_root == cfg.model.base_root == '/my/photos'
    assert cfg.train_dataloader.dataset.data_root == '/my/photos'
    assert cfg.train_dataloader.dataset.pipeline[0].root == '/my/photos'
    assert cfg.fit_dataloader.dataset.ann_file == '/my/photos/list.txt'
    assert cfg.model.backbone.checkpoint == 'w.pth'


def test_equal_values_do_not_follow(config_file):
    cfg = load_config(config_file, {'data_root': '/mine', 'default_scope': 'mmpretrain'})
    assert cfg.val_dataloader.dataset.data_root == cfg.val_data_root == 'data/same'
    assert cfg.fit_dataloader.dataset.other == 'data/images_of_others'
    assert tuple(cfg.model.backbone.names) == ('data/images', 3)
    assert (cfg.default_scope, list(cfg.scopes)) == ('mmpretrain', ['mmseg'])


def test_values_may_be_swapped(config_file):
    """Two variables at once: the new value of one is the old value of the other."""
    cfg = load_config(config_file, {'data_root': 'data/same', 'val_data_root': '/x'})
    assert cfg.train_dataloader.dataset.data_root == 'data/same'
    assert cfg.val_dataloader.dataset.data_root == '/x'


def test_numbers_and_tuples_follow_too(config_file, tmp_path):
    assert load_config(config_file, {'image_size': TypedText('224,224')}).resize.scale == [224, 224]
    (tmp_path / 'run.py').write_text("""
iterations = 200
param_scheduler = [dict(type='LinearLR', begin=0, end=20), dict(type='C', T_max=iterations, begin=20, end=iterations)]
train_cfg = dict(max_iters=iterations)
model = dict(num_clusters=200)
""")
    cfg = load_config(tmp_path / 'run.py', {'iterations': TypedText('50'), 'model.depth': 200})
    assert cfg.iterations == cfg.train_cfg.max_iters == cfg.param_scheduler[1].T_max == 50
    assert [scheduler.end for scheduler in cfg.param_scheduler] == [20, 50]
    assert cfg.model == dict(num_clusters=200, depth=200)
    for wrong in (0, 2.5, True):
        with pytest.raises(ValueError, match=f'iterations={wrong}'):
            load_config(tmp_path / 'run.py', {'iterations': wrong})


def test_dotted_override_wins_over_the_variable(config_file):
    cfg = load_config(config_file, {'data_root': '/a', 'train_dataloader.dataset.data_root': '/b'})
    assert cfg.train_dataloader.dataset.data_root == '/b'
    assert cfg.train_dataloader.dataset.pipeline[0].root == '/a'


def test_checkpoint_can_be_taken_away(config_file):
    assert load_config(config_file, {'checkpoint': TypedText('None')}).model.backbone.checkpoint is None


@pytest.mark.parametrize('path', ['2024', 'My Pictures', 'a,b', '[1]', '(x', 'k=v', "it's", 'Bilder/ä 図', 'true',
                                  '1e3', r'C:\Users\me', 'a"b', '{{ fileDirname }}', ' x ', '/a;b#c'])
def test_paths_stay_as_they_are(config_file, path):
    cfg = load_config(config_file, {'data_root': TypedText(path), 'fit_dataloader.dataset.ann_file': TypedText(path),
                                    'model.backbone.checkpoint': TypedText(path)})
    found = [cfg.data_root, cfg.train_dataloader.dataset.pipeline[0].root, cfg.fit_dataloader.dataset.ann_file,
             cfg.model.backbone.checkpoint]
    assert found == [path] * 4


def test_quotes_and_home(config_file, monkeypatch):
    monkeypatch.setenv('HOME', '/home/me')
    assert load_config(config_file, {'data_root': TypedText('"a b"')}).data_root == 'a b'
    assert load_config(config_file, {'data_root': TypedText('~/a b')}).data_root == '/home/me/a b'


def test_other_values_are_what_mmengine_makes_of_them(config_file):
    cfg = load_config(config_file, {'unused': TypedText('5'), 'model.sizes': TypedText('[(1, 2), a]'),
                                    'model.flag': TypedText('False'),
                                    'train_dataloader.dataset.pipeline.0.n': TypedText('2')})
    assert (cfg.unused, cfg.model.sizes, cfg.model.flag, cfg.train_dataloader.dataset.pipeline[0].n) == (
        5, [(1, 2), 'a'], False, 2)


@pytest.mark.parametrize(('key', 'nearest'), [('dataroot', 'data_root'), ('data_rot', 'data_root'),
                                              ('train_dataloder.batch_size', 'train_dataloader'),
                                              ('optim_wraper.optimizer.lr', 'optim_wrapper'), ('resum', 'resume')])
def test_unknown_options_name_the_nearest(config_file, key, nearest):
    with pytest.raises(ValueError, match=f"Did you mean '{nearest}'") as error:
        load_config(config_file, {key: 2})
    assert 'val_data_root' in str(error.value)


def test_iterations_of_a_run_in_epochs_are_refused(tmp_path):
    (tmp_path / 'run.py').write_text('train_cfg = dict(max_epochs=3)')
    with pytest.raises(ValueError, match=r'counts epochs: train_cfg\.max_epochs'):
        load_config(tmp_path / 'run.py', {'iteratons': 5})


def test_options_of_the_runner_are_known(config_file):
    cfg = load_config(config_file, {'resume': True, 'randomness.seed': 3, 'find_unused_parameters': True})
    assert (cfg.resume, cfg.randomness.seed, cfg.find_unused_parameters) == (True, 3, True)


def test_options_in_vain_are_named(config_file, caplog, monkeypatch):
    said = []
    monkeypatch.setattr('leopart_mm.engine.config.print_log', lambda text, **_: said.append(text))
    load_config(config_file, {'unused': 4, 'image_size': (2, 2)})
    assert len(said) == 1
    assert "nothing in child.py uses 'unused'" in said[0]
    load_config(config_file, {'model.backbone.checkpont': 'x'})
    assert "Did you mean 'checkpoint'" in said[1]
    load_config(config_file, {'model.backbone.depth': 3})
    assert len(said) == 2


def test_without_options_it_is_the_plain_config(config_file):
    plain = Config.fromfile(config_file)
    loaded = load_config(config_file)
    assert (loaded._cfg_dict, loaded.text, loaded.filename) == (plain._cfg_dict, plain.text, plain.filename)
    variables = load_config(config_file, {'data_root': '/x'})
    assert (variables.text, variables.filename) == (plain.text, plain.filename)
    assert Config.fromfile(config_file)._cfg_dict == plain._cfg_dict, 'nothing stays changed'


def test_packages_keep_their_scope(tmp_path):
    (tmp_path / 'child.py').write_text("_base_ = ['mmseg::_base_/datasets/ade20k.py', "
                                       "'mmseg::_base_/models/fcn_unet_s5-d16.py']\n")
    plain = Config.fromfile(tmp_path / 'child.py')
    cfg = load_config(tmp_path / 'child.py', {'data_root': '/ade'})
    assert cfg.train_dataloader.dataset.data_root == cfg.val_dataloader.dataset.data_root == '/ade'
    assert cfg.model._scope_ == plain.model._scope_ == 'mmseg'


def test_environment_variables_and_conditions(tmp_path, monkeypatch):
    monkeypatch.setenv('WHERE', 'there')
    (tmp_path / 'c.py').write_text(CONDITIONS)
    cfg, assigned = load_with_variables(tmp_path / 'c.py', {'root': '/r', 'nothing': 1})
    assert (cfg.place, cfg.root, cfg.b, cfg.c, cfg.d) == ('there', '/r', 1, ['q'], 'z/r')
    assert assigned == {'root'}


def test_lazy_configs_change_at_the_top_only(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('leopart_mm.engine.config.print_log', lambda text, **_: said.append(text))
    (tmp_path / 'base.py').write_text("data_root = 'x'\n")
    (tmp_path / 'child.py').write_text('from mmengine.config import read_base\nwith read_base():\n'
                                       '    from .base import *\nmodel = dict(root=data_root)\n')
    cfg = load_config(tmp_path / 'child.py', {'data_root': '/y'})
    assert (cfg.data_root, cfg.model.root) == ('/y', 'x')
    assert 'only the top-level value changes' in said[0]


def test_assignment_keeps_lines():
    source = "a = 1; root = ('x' +\n  'ü')  # root = 3\nroot += '/z'\n\nroot: str = 'k'\nm = dict(root=root)\n"
    text, _ = assign(source, {'root': "/it's", 'a': None})
    assert text.count('\n') == source.count('\n')
    names = {}
    exec(text, names)
    assert names['m'] == dict(root="/it's")
    assert names['a'] is None


def test_bad_input_is_named(config_file, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nothing\.py'):
        load_config(tmp_path / 'nothing.py')
    for value in (None, '', 3):
        with pytest.raises(ValueError, match='data_root'):
            load_config(config_file, {'data_root': value})


def test_relative_bases_and_folders_with_blanks(config_file, tmp_path):
    folder = tmp_path / "my config's folder"
    folder.mkdir()
    for name in ('grandparent', 'base', 'child'):
        shutil.copy(tmp_path / f'{name}.py', folder)
    assert load_config(folder / 'child.py', {'data_root': '/z'}).model.base_root == '/z'


@pytest.mark.parametrize(('text', 'value'), [
    ("dict(type='X', rank=8)", dict(type='X', rank=8)),
    (" dict(a=[1, dict(b=None)], c=(2., 3), d=dict()) ", dict(a=[1, dict(b=None)], c=[2., 3], d={})),
    ("{'type': 'X', 2: -1}", {'type': 'X', 2: -1}), ('{}', {}), ('dict', 'dict'), ('iter_{}.pth', 'iter_{}.pth'),
])
def test_a_dict_may_be_given_as_configs_write_it(text, value):
    assert interpret('model.debias', TypedText(text)) == value


@pytest.mark.parametrize('text', ["dict(type='X'", 'dict(a=open("x"))', 'dict(**dict(a=1))', 'dict(1)', 'X(a,b)',
                                  '{a: 1}'])
def test_what_is_no_value_names_its_key(text):
    with pytest.raises(ValueError, match=r'--cfg-options model\.debias=.*cannot be understood.*debias\.type=NAME'):
        interpret('model.debias', TypedText(text))
