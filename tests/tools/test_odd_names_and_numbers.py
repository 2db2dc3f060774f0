"""Training, testing and applying on 16-bit images whose names are not UTF-8, have line breaks, or are very long."""

import os

import numpy as np
import torch
from PIL import Image

from leopart_mm.evaluation import read_labels
from tests.tools.running import run_tool
from tests.tools.test_train_and_test import EVALUATE, TRAIN

NAMES = [b'caf\xe9', b'two\nlines', '\U0001f408 "cat"'.encode(), b'n' * 251]


def write_data(folder):
    generator = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        for part, suffix in ((b'JPEGImages', b'.tif'), (b'masks', b'.png')):
            path = os.path.join(os.fsencode(folder), part, name + suffix)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            array = (generator.integers(0, 4000, (64, 64)).astype(np.uint16) if part == b'JPEGImages'
                     else np.full((64, 64), number % 3, np.uint8))
            with open(path, 'wb') as file:
                Image.fromarray(array).save(file, 'TIFF' if suffix == b'.tif' else 'PNG')


def test_they_survive_every_tool(tmp_path, monkeypatch, capsys):
    write_data(tmp_path / 'data')
    hook = "default_hooks = dict("
    train = TRAIN.replace(hook, hook + "value_range=dict(type='leopart_mm.ValueRangeHook'), ")
    (tmp_path / 'train.py').write_text(train.replace('max_iters=4', 'max_iters=2'))
    test = EVALUATE.replace("leopart_mm.VOCLayoutDataset', data_root=data_root, split='val'",
                            "leopart_mm.PairedFolders', data_root=data_root, img_suffix='.tif', seg_map_suffix='.png', "
                            "data_prefix=dict(img_path='JPEGImages', seg_map_path='masks'), "
                            "metainfo=dict(classes=('a', 'b', 'c'))")
    test += ("default_hooks = dict(value_range=dict(type='leopart_mm.ValueRangeHook'), "
             "visualization=dict(type='leopart_mm.ClusterVisualizationHook'))\n"
             "visualizer = dict(type='mmseg.SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], "
             "name='odd_names')\n")
    (tmp_path / 'test.py').write_text(test)
    options = '--cfg-options', f'data_root={tmp_path / "data"}'

    status, _, error = run_tool(monkeypatch, capsys, 'train.py', tmp_path / 'train.py', '--work-dir', tmp_path / 'run',
                                *options)
    assert status == 0, error[-3000:]
    trained = torch.load(tmp_path / 'run/iter_2.pth', weights_only=False)['meta']['dataset_meta']
    assert 3000 < trained['value_range'][1] < 4000

    status, _, error = run_tool(
        monkeypatch, capsys, 'test.py', tmp_path / 'test.py', tmp_path / 'run/iter_2.pth', '--work-dir',
        tmp_path / 'run', '--out', tmp_path / 'maps', '--show-dir', tmp_path / 'pictures', '--save-fitted',
        tmp_path / 'fitted.pth', *options)
    assert status == 0, error[-3000:]
    fitted = torch.load(tmp_path / 'fitted.pth', weights_only=True)['meta']['dataset_meta']
    assert tuple(fitted['value_range']) == tuple(trained['value_range'])

    status, _, error = run_tool(monkeypatch, capsys, 'segment_folder.py', tmp_path / 'data/JPEGImages', '--checkpoint',
                                tmp_path / 'fitted.pth', '--out', tmp_path / 'out', '--overlay', '--sheet',
                                '--segments', 'blocks')  # as tools/test.py scores them
    assert status == 0, error[-3000:]
    for folder in ('maps', 'out/labels', 'pictures'):
        found = {name for name in os.listdir(os.fsencode(tmp_path / folder)) if not name.startswith(b'.')}
        assert {name + b'.png' for name in NAMES} <= found, folder
    for name in NAMES:
        maps = [read_labels(os.fsdecode(os.path.join(os.fsencode(tmp_path), folder, name + b'.png')))
                for folder in (b'maps', b'out/labels')]
        assert maps[0].shape == (64, 64)
        assert (maps[0] == maps[1]).mean() > 0.99
