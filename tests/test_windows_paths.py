"""Windows by simulation: drive letters, backslashes, CRLF, and a machine without `ulimit`."""

import ntpath
import os
import sys
from pathlib import PureWindowsPath
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from leopart_mm.apis.checkpoint_config import parse_config_text
from leopart_mm.cli.arguments import TypedText
from leopart_mm.cli.errors import FRAMEWORKS, OUR_FILES
from leopart_mm.cli.open_files import raise_open_files_limit, too_many_open_files
from leopart_mm.datasets import UnlabelledImages, image_names
from leopart_mm.engine.cli import config_name
from leopart_mm.engine.config import load_config
from leopart_mm.engine.options import interpret, is_path
from leopart_mm.engine.renamed_configs import new_name
from leopart_mm.models.fitting import sample_keys

ON_WINDOWS = SimpleNamespace(path=ntpath, fspath=os.fspath)
ROOT = r'C:\new images\table,2024'  # \n and \t must not become a line break and a tab


@pytest.mark.parametrize('value', [ROOT, r'D:\2024', r'\\server\share\x', 'C:/a b'])
def test_options_stay_as_typed(value):
    assert interpret('data_root', TypedText(value)) == value
    assert interpret('pictures', TypedText(value), r'D:\old') == value  # a key that holds a path
    assert is_path('pictures', 'E:old')
    assert not is_path('mode', 'small')


def test_variables_reach_every_use_unharmed(tmp_path):
    (tmp_path / 'base.py').write_text("data_root = 'data/x'\ntrain = dict(root=data_root, list=data_root + '/a.txt')\n")
    (tmp_path / 'child.py').write_text("_base_ = './base.py'\ndata_root = 'data/y'\nval = dict(root=data_root)\n")
    config = load_config(tmp_path / 'child.py', dict(data_root=TypedText(ROOT)))
    assert (config.data_root, config.val.root, config.train.root) == (ROOT, ROOT, ROOT)
    assert config.train.list == ROOT + '/a.txt'
    stored = Config(dict(data_root=ROOT, train=dict(root=ROOT))).pretty_text  # as checkpoints carry it
    assert parse_config_text(stored) == dict(data_root=ROOT, train=dict(root=ROOT))


def test_names_of_configs():
    assert config_name(PureWindowsPath(r'C:\x\configs\neco\linear\vits14_voc.py')) == 'neco_linear_vits14_voc'
    assert new_name(PureWindowsPath(r'configs\neco\linear\linear_neco-vits14_voc.py').as_posix()) == (
        'configs/neco/linear/vits14_voc.py')


def test_names_of_images_and_their_keys_are_those_of_other_machines(monkeypatch):
    monkeypatch.setattr(image_names, 'os', ON_WINDOWS)
    monkeypatch.setattr(image_names, 'Path', PureWindowsPath)
    assert image_names._choices(r'C:\images\a\1.jpg', r'C:\images')[0] == 'a/1'
    monkeypatch.setattr(sample_keys, 'os', ON_WINDOWS)
    monkeypatch.setattr(sample_keys, 'Path', PureWindowsPath)
    infos = [dict(img_path=rf'C:\data\{name}') for name in (r'a\1.jpg', r'b\2.jpg')]
    data = type('Data', (), dict(get_data_info=lambda self, index: infos[index], __len__=lambda self: 2))()
    keys = sample_keys.SampleKeys(data)
    assert [keys(info['img_path']) for info in infos] == ['a/1.jpg', 'b/2.jpg']
    infos[1]['img_path'] = r'D:\data\b\2.jpg'  # no common folder
    assert sample_keys.SampleKeys(data)(infos[1]['img_path']) == infos[1]['img_path']


def test_a_list_written_on_windows(tmp_path):
    (tmp_path / 'sub').mkdir()
    for name in ('a', 'b c'):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / 'sub' / f'{name}.jpg')
    (tmp_path / 'list.txt').write_bytes('\ufeffsub\\a.jpg\r\nsub\\b c.jpg\r\n'.encode())
    data = UnlabelledImages(data_root=str(tmp_path), ann_file='list.txt')
    assert [os.path.basename(data.get_data_info(index)['img_path']) for index in range(2)] == ['a.jpg', 'b c.jpg']


def test_errors_know_the_files_of_the_frameworks():
    assert FRAMEWORKS.search(r'C:\venv\Lib\site-packages\mmengine\registry\build_functions.py')
    assert not FRAMEWORKS.search(r'C:\venv\Lib\site-packages\numpy\core\x.py')
    assert all(os.path.isabs(folder) for folder in OUR_FILES)


def test_no_limit_of_open_files(monkeypatch):
    monkeypatch.setitem(sys.modules, 'resource', None)
    assert raise_open_files_limit() is None
    monkeypatch.setattr(sys, 'platform', 'win32')
    assert 'may hold no more open' in too_many_open_files()
    assert 'num_workers=0' in too_many_open_files()
