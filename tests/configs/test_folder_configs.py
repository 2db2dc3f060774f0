"""Configs for bare folders of images: what their names say, and a run of each on tiny data, by tools/test.py."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from leopart_mm.datasets.sample import write_sample
from leopart_mm.engine.config import load_config
from leopart_mm.evaluation.label_writer import read_labels
from leopart_mm.models.backbones import DenseViT
from tests.configs.test_evaluation_configs import ARCHES, CONFIGS
from tests.tools.running import run_tool

FILES = sorted(path.relative_to(CONFIGS).as_posix() for method in ('leopart', 'neco')
               for path in CONFIGS.glob(f'{method}/*/*_folder.py'))
TASKS = dict(overcluster='OverclusterHead', fully_unsup='OverclusterHead', retrieval='RetrievalHead')
TINY = dict(img_size=64, patch_size=8, embed_dim=24, depth=2, num_heads=2)


def test_every_room_has_one():
    assert FILES == ['leopart/fully_unsup/vits16_folder.py', 'leopart/overcluster/vits16_folder.py',
                     'neco/fully_unsup/vits14_folder.py', 'neco/overcluster/vits14_folder.py',
                     'neco/retrieval/vits14_folder.py', 'neco/retrieval/vits16_folder.py']


@pytest.mark.parametrize('file', FILES)
def test_it_needs_a_folder_only(file):
    _, task, name = file.split('/')
    cfg = load_config(CONFIGS / file, dict(data_root='my/images'))
    assert cfg.model.backbone.arch == ARCHES[name.removesuffix('_folder.py')]
    assert cfg.model.decode_head.type == f'leopart_mm.{TASKS[task]}'
    assert cfg.test_evaluator == []
    tested, fitted = cfg.test_dataloader.dataset, cfg.test_cfg.fit_dataloader.dataset
    assert (tested.type, tested.data_root) == ('leopart_mm.UnlabelledImages', 'my/images')
    assert 'Annotations' not in repr(tested)
    if task == 'retrieval':
        assert fitted.type == 'leopart_mm.ExampleImages'
        assert [step.type for step in fitted.pipeline] == ['leopart_mm.LoadImage', 'Resize', 'LoadAnnotations',
                                                           'PackSegInputs']
        assert fitted.pipeline[1] == tested.pipeline[1]
        chosen = load_config(CONFIGS / file, dict(examples='my/examples', num_classes=3))
        assert chosen.test_cfg.fit_dataloader.dataset.data_root == 'my/examples'
        assert chosen.model.decode_head.num_classes == 3
    else:
        assert (fitted.type, fitted.data_root, fitted.num_samples) == (tested.type, 'my/images', 2000)
        assert fitted.pipeline == tested.pipeline
        assert len(cfg.model.decode_head.get('seeds', 1) * [0]) == 1
        assert 7 in [stage.get('num_clusters') for stage in (
            *load_config(CONFIGS / file, dict(num_clusters=7)).model.get('postprocessors', {}).values(),
            load_config(CONFIGS / file, dict(num_clusters=7)).model.decode_head)]


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Eight images, three of which are examples too, and a tiny network."""
    root = tmp_path_factory.mktemp('folder')
    write_sample(root / 'data', 8, 64, seed=0)
    (root / 'data' / 'JPEGImages').rename(root / 'images')
    names = sorted(path.stem for path in (root / 'images').iterdir())
    for name in names[:3]:
        (root / 'examples').mkdir(exist_ok=True)
        image = next((root / 'images').glob(f'{name}.*'))
        Image.open(image).convert('RGB').save(root / 'examples' / f'{name}.jpg')
        (root / 'data' / 'SegmentationClass' / f'{name}.png').rename(root / 'examples' / f'{name}.png')
    torch.manual_seed(0)
    vit = DenseViT('vit_tiny_patch16_224', TINY)
    torch.save(vit.state_dict(), root / 'vit.pth')
    return root, names


SMALL = """
_base_ = '{base}'
model = dict(backbone=dict(arch='vit_tiny_patch16_224', model_kwargs={tiny}),
             decode_head=dict({head}){stages})
test_dataloader = dict(batch_size=4, num_workers=0)
"""
HEADS = dict(overcluster='num_clusters=9, pca_dim=8, niter=5, nredo=1', fully_unsup='num_clusters=20, pca_dim=8, '
             'niter=5, nredo=1', retrieval='k=5')
STAGES = (', postprocessors=dict(clusters=dict(num_clusters=9, niter=5, nredo=1), communities=dict('
          'weight_threshold=0.005, seeds=1))')


@pytest.mark.parametrize('file', ['leopart/fully_unsup/vits16_folder.py', 'leopart/overcluster/vits16_folder.py',
                                  'neco/retrieval/vits16_folder.py'])
def test_tools_test_describes_and_keeps_the_model(file, place, tmp_path, monkeypatch, capsys):
    root, names = place
    task = file.split('/')[1]
    config = tmp_path / 'small.py'
    config.write_text(SMALL.format(base=CONFIGS / file, tiny=TINY, head=HEADS[task],
                                   stages=STAGES if task == 'fully_unsup' else ''))
    options = [f'examples={root}/examples', 'num_classes=7'] if task == 'retrieval' else []
    status, out, error = run_tool(
        monkeypatch, capsys, 'test.py', config, root / 'vit.pth', '--work-dir', tmp_path / 'work', '--out',
        tmp_path / 'maps', '--save-fitted', tmp_path / 'fitted.pth', '--cfg-options', f'data_root={root}/images',
        'image_size=64,64', 'test_cfg.fit_dataloader.num_workers=0', *options)
    assert status == 0, error
    text = out + error
    assert re.search(r'Label maps of 8 images: \d+ of \d+ labels occur, as even as', text)
    assert 'They say nothing of how right they are: there is no ground truth to score with' in text
    assert 'mIoU' not in text
    assert sorted(path.stem for path in (tmp_path / 'maps').glob('*.png')) == names
    assert {read_labels(path).shape for path in (tmp_path / 'maps').glob('*.png')} == {(64, 64)}
    meta = torch.load(tmp_path / 'fitted.pth', weights_only=False)['meta']['dataset_meta']
    if task == 'retrieval':
        assert meta['classes'] == ('background', *(f'class {index}' for index in range(1, len(meta['classes']))))
        assert np.isin(read_labels(tmp_path / 'maps' / f'{names[0]}.png'), range(7)).all()
