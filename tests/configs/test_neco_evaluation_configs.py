"""NeCo's evaluations: each config says what its name and the specification's tables say, and runs on tiny data."""

import json
import re

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

from leopart_mm.engine.config import load_config
from tests.paths import REPO

FOLDER = REPO / 'configs' / 'neco'
ARCHES = {
    'vits14': 'vit_small_patch14_dinov2', 'vits14-reg': 'vit_small_patch14_reg4_dinov2',
    'vitb14': 'vit_base_patch14_dinov2', 'vitb14-reg': 'vit_base_patch14_reg4_dinov2',
    'vits16': 'vit_small_patch16_224'
}
CLASSES = {'voc': 21, 'coco-thing': 12, 'coco-stuff': 15, 'ade20k': 151}
TYPES = {'voc': 'VOCLayoutDataset', 'coco-thing': 'COCOThings12', 'coco-stuff': 'COCOStuff15', 'ade20k': 'ADE20K151'}
FRACTIONS = {'voc': {8: 1320, 64: 160, 128: 80}, 'ade20k': {8: 2550, 64: 300, 128: 150}}
PUBLISHED_RETRIEVALS = sorted((FOLDER / 'retrieval').glob('*.py'))
RETRIEVALS = [*PUBLISHED_RETRIEVALS, REPO / 'configs/msrc21/retrieval_vit-tiny_msrc21.py',
              REPO / 'configs/sample/retrieval_vit-micro_sample.py']
OVERCLUSTERINGS = sorted((FOLDER / 'overcluster').glob('*.py'))
PROBES = sorted((FOLDER / 'linear').glob('*.py'))
SIDE = 32


def parts(path):
    """Architecture, data and the rest of a name such as retrieval_neco-vits14_voc_frac-8."""
    _, model, data, *rest = path.stem.split('_')
    return model.removeprefix('neco-'), data, rest[0] if rest else ''


def test_there_are_all_sizes_and_fractions_of_both_data_sets():
    names = {parts(path) for path in PUBLISHED_RETRIEVALS}
    for arch in ('vits14', 'vitb14'):
        for data in ('voc', 'ade20k'):
            sizes = [f'mem-1024e{power}' for power in (2, 3, 4)] + [f'frac-{part}' for part in (8, 64, 128)]
            assert {(arch, data, rest) for rest in ('', *sizes)} <= names
    assert {(arch, 'voc', '') for arch in ARCHES} <= names


@pytest.mark.parametrize('path', PUBLISHED_RETRIEVALS, ids=lambda path: path.stem)
def test_retrieval_says_what_its_name_says(path):
    arch, data, rest = parts(path)
    cfg = load_config(path, dict(data_root='/elsewhere'))
    head, fit = cfg.model.decode_head, cfg.test_cfg.fit_dataloader
    assert cfg.model.backbone.arch == ARCHES[arch]
    assert (head.num_classes, head.k, head.temperature) == (CLASSES[data], 30, 0.02)
    ignore = 0 if data == 'ade20k' else 255
    assert head.get('ignore_index', 255) == cfg.test_evaluator.get('ignore_index', 255) == ignore
    memory = 1024 * 10**int(rest[-1]) if rest.startswith('mem') else None
    assert (head.memory_size, head.passes) == (memory, 1 if memory is None else 2)
    for dataset in (fit.dataset, cfg.test_dataloader.dataset):
        assert dataset.type == f'leopart_mm.{TYPES[data]}'
        assert dataset.data_root == '/elsewhere'
    images = FRACTIONS[data][int(rest[5:])] if rest.startswith('frac') else None
    assert fit.dataset.get('num_samples') == images
    side = 512 if arch == 'vits16' else 504
    crop, = [step for step in fit.dataset.pipeline if step.type == 'leopart_mm.SegRandomResizedCrop']
    assert (crop.size, tuple(crop.scale)) == (side, (0.5, 2.))
    names = [step.type for step in fit.dataset.pipeline]
    assert names.index('leopart_mm.RandomColourJitter') < names.index('leopart_mm.SegRandomResizedCrop')
    steps = {step.type: step for step in cfg.test_dataloader.dataset.pipeline}
    assert tuple(steps['Resize'].scale) == tuple(steps['leopart_mm.ResizeSegMap'].size) == (side, side)
    published = rest == 'published'
    assert cfg.model.data_preprocessor.std[2] == pytest.approx((0.255 if published else 0.225) * 255)
    assert head.void == ('class0' if published else 'exclude')
    assert cfg.test_evaluator.matching == (['hungarian', 'direct'] if published else ['direct', 'hungarian'])
    assert cfg.test_evaluator.get('count_ignored', False) == published


@pytest.mark.parametrize('path', OVERCLUSTERINGS, ids=lambda path: path.stem)
def test_overclustering_says_what_its_name_says(path):
    arch, data, rest = parts(path)
    cfg = Config.fromfile(path)
    head = cfg.model.decode_head
    assert cfg.model.backbone.arch == ARCHES[arch]
    assert (head.num_clusters, head.seeds, head.pca_dim, head.niter, head.nredo) == (int(rest[1:]), 5, 50, 100, 5)
    assert cfg.test_dataloader.dataset.type == f'leopart_mm.{TYPES[data]}'
    assert cfg.test_evaluator.get('ignore_index', 255) == (0 if data == 'ade20k' else 255)
    assert (cfg.test_dataloader.batch_size, tuple(cfg.test_evaluator.eval_size)) == (32, (100, 100))


@pytest.mark.parametrize('path', PROBES, ids=lambda path: path.stem)
def test_probe_says_what_its_name_says(path):
    arch, data, _ = parts(path)
    cfg = Config.fromfile(path)
    head = cfg.model.decode_head
    assert cfg.model.backbone.arch == ARCHES[arch]
    assert cfg.model.backbone.frozen_stages == 12
    assert (head.num_classes, head.in_channels) == (CLASSES[data], 768 if 'vitb' in arch else 384)
    assert (cfg.train_dataloader.batch_size, cfg.optim_wrapper.optimizer.lr) == (128, 0.01)
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[0].step_size, cfg.randomness.seed) == (25, 20, 400)
    for dataset in (cfg.train_dataloader.dataset, cfg.val_dataloader.dataset, cfg.test_dataloader.dataset):
        assert dataset.type == f'leopart_mm.{TYPES[data]}'
    for part in (head, cfg.val_evaluator, cfg.test_evaluator):
        assert part.get('ignore_index', 255) == (0 if data == 'ade20k' else 255)
    assert cfg.model.data_preprocessor.test_cfg.size_divisor == int(re.search(r'\d+', arch)[0])


@pytest.mark.parametrize(('arch', 'clusters', 'time'), [('vits14', 189, 1.2), ('vitb14', 149, 1.7)])
def test_fully_unsupervised_settings(arch, clusters, time):
    stages = Config.fromfile(FOLDER / f'fully_unsup_neco-{arch}_voc.py').model.postprocessors
    assert stages.clusters.num_clusters == clusters
    assert (stages.communities.weight_threshold, stages.communities.markov_time) == (0.07, time)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture(scope='session')
def roots(tmp_path_factory):
    """Four images a split in the layouts of VOC and ADE20K."""
    root, rng = tmp_path_factory.mktemp('data'), np.random.default_rng(0)
    voc, ade = root / 'voc', root / 'ade20k'
    for index in range(4):
        image = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        mask = rng.integers(0, 6, (5, 6), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        save(voc / f'JPEGImages/{index}.jpg', image)
        for folder in ('SegmentationClass', 'SegmentationClassAug'):
            save(voc / f'{folder}/{index}.png', mask)
        for split in ('training', 'validation'):
            save(ade / f'images/{split}/{index}.jpg', image)
            save(ade / f'annotations/{split}/{index}.png', mask)
    lists = voc / 'ImageSets/Segmentation'
    lists.mkdir(parents=True)
    for split in ('train', 'trainaug', 'val'):
        (lists / f'{split}.txt').write_text('0\n1\n2\n3\n')
    return root


def shrink(path, roots, work_dir):
    data = 'ade20k' if 'ade20k' in path.stem else 'voc'
    cfg = load_config(path, dict(data_root=str(roots / data)))
    cfg.model.backbone.update(arch='vit_tiny_patch16_224', model_kwargs=dict(
        img_size=SIDE, patch_size=8, embed_dim=16, depth=1, num_heads=2))
    head = cfg.model.decode_head
    head.update(k=5, memory_size=None if head.get('memory_size') is None else 24)
    for loader in (cfg.test_dataloader, cfg.test_cfg.fit_dataloader):
        loader.update(batch_size=1 if 'msrc21' in path.stem else 2, num_workers=0, persistent_workers=False)
        for step in loader.dataset.pipeline:
            if 'scale' in step and step.type == 'Resize':
                step.scale = (SIDE, SIDE)
            if 'size' in step:
                step.size = SIDE if step.type == 'leopart_mm.SegRandomResizedCrop' else (SIDE, SIDE)
    cfg.work_dir, cfg.log_level, cfg.experiment_name = str(work_dir), 'WARNING', f'{path.stem}_tiny'
    return cfg


@pytest.mark.parametrize('path', RETRIEVALS, ids=lambda path: path.stem)
def test_whole_retrieval_on_tiny_data(path, roots, tmp_path):
    cfg = shrink(path, roots, tmp_path)
    with DefaultScope.overwrite_default_scope('mmseg'):
        runner = Runner.from_cfg(cfg)
        metrics = runner.test()
    assert 0 <= metrics['direct/mIoU'] <= metrics['hungarian/mIoU'] + 1e-9 <= 100
    info = runner.model.decode_head.info
    assert (info['images'], info['passes']) == (4, runner.model.decode_head.passes)
    if '_mem-' in path.stem:
        assert info['rows'] == 4 * 2 * 3
    assert json.dumps(metrics)
