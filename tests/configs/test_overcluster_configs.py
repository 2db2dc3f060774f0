"""Every published overclustering: what the config says, and the whole evaluation on tiny data, fitting included."""

import json

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

from tests.paths import REPO

FOLDER = REPO / 'configs' / 'leopart' / 'overcluster'
CONFIGS = sorted(path.stem for path in FOLDER.glob('*.py'))
DATA = {  # data set of each name: (class, number of classes)
    'voc': ('VOCLayoutDataset', 21), 'coco-stuff': ('COCOStuff15', 15), 'coco-thing': ('COCOThings12', 12),
    'ade20k-street': ('ADE20KStreetParts', 111)
}
NUMBERS = {('voc', 500): 15, ('voc', 21): 10, ('coco-stuff', 500): 10, ('coco-thing', 500): 10,
           ('ade20k-street', 500): 5}
SIDE = 32


def parts(name):
    model, data, clusters = name.rsplit('_', 2)
    return model, data, int(clusters[1:])


def test_there_is_one_for_each_published_row():
    counts = {}
    for name in CONFIGS:
        counts[parts(name)[1:]] = counts.get(parts(name)[1:], 0) + 1
    assert counts == NUMBERS


@pytest.mark.parametrize('name', CONFIGS)
def test_config_says_what_its_name_says(name):
    model, data, clusters = parts(name)
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    backbone = cfg.model.backbone
    if model.endswith('-r50'):
        assert (backbone.type, backbone.depth) == ('leopart_mm.DenseResNet', 50)
    else:
        size, patch = model.rsplit('vit', 1)[1][0], model.rsplit('vit', 1)[1][1:].split('-')[0]
        assert backbone.arch == f'vit_{dict(s="small", b="base")[size]}_patch{patch}_224'
        assert (backbone.get('model_kwargs') == dict(num_heads=12)) == ('mocov3' in model)
    head = cfg.model.decode_head
    assert (head.num_clusters, head.seeds, head.pca_dim, head.niter, head.nredo) == (clusters, 5, 50, 100, 5)
    assert cfg.test_dataloader.dataset.type == f'leopart_mm.{DATA[data][0]}'
    assert cfg.test_evaluator == dict(type='leopart_mm.ClusterMetric', matching='auto', eval_size=(100, 100))
    assert dict(type='Resize', scale=(448, 448), keep_ratio=False) in cfg.test_dataloader.dataset.pipeline


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture(scope='session')
def roots(tmp_path_factory):
    """Four images of every data set, in its own layout."""
    root, rng = tmp_path_factory.mktemp('data'), np.random.default_rng(0)
    for data, (_, classes) in DATA.items():
        for index in range(4):
            image = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            mask = rng.integers(0, classes, (5, 6), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            if data.startswith('coco'):
                masks = dict(stuff='stuff15', thing='things12')[data[5:]]
                save(root / data / f'images/val2017/{index}.jpg', image)
                save(root / data / f'annotations/{masks}/val2017/{index}.png', mask)
            else:
                save(root / data / f'JPEGImages/{index}.jpg', image)
                save(root / data / f'SegmentationClass/{index}.png', mask)
        if not data.startswith('coco'):
            lists = root / data / 'ImageSets/Segmentation'
            lists.mkdir(parents=True)
            (lists / 'val.txt').write_text('0\n1\n2\n3\n')
    (root / 'ade20k-street/meta.json').write_text(json.dumps(dict(classes=[f'part {i}' for i in range(111)])))
    return root


def shrink(cfg, root, work_dir):
    backbone = cfg.model.backbone
    if backbone.type == 'leopart_mm.DenseViT':
        backbone.model_kwargs = dict(img_size=SIDE, patch_size=8, embed_dim=16, depth=2, num_heads=2)
    else:
        backbone.update(depth=18, base_channels=8, stem_channels=8)
    cfg.model.decode_head.update(seeds=2, niter=3, nredo=1, pca_dim=8,
                                 num_clusters=21 if cfg.model.decode_head.num_clusters == 21 else 6)
    loader = cfg.test_dataloader
    loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    loader.dataset.data_root = str(root)
    for step in loader.dataset.pipeline:
        if step.type == 'Resize':
            step.scale = (SIDE * 2, SIDE * 2)
    cfg.test_evaluator.eval_size = (20, 20)
    cfg.work_dir = str(work_dir)
    cfg.log_level = 'WARNING'
    return cfg


# Configs of one kind differ in nothing but the checkpoint that belongs to them.
KINDS = {('-r50_' in name, 'vitb8' in name, *parts(name)[1:]): name for name in CONFIGS}


@pytest.mark.slow
@pytest.mark.parametrize('name', KINDS.values())
def test_whole_evaluation_on_tiny_data(name, roots, tmp_path):
    data = parts(name)[1]
    cfg = shrink(Config.fromfile(FOLDER / f'{name}.py'), roots / data, tmp_path)
    cfg.experiment_name = f'{name}_tiny'
    with DefaultScope.overwrite_default_scope('mmseg'):
        metrics = Runner.from_cfg(cfg).test()
    assert 0 <= metrics['mIoU'] <= 100
    assert metrics['aAcc'] > 0
