"""Evaluations (overclustering, retrieval, probes, the chain): each is what its name says, and runs on tiny data."""

import json
import re

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

from leopart_mm.engine.config import load_config
from tests.paths import REPO

CONFIGS = REPO / 'configs'
ARCHES = {
    'vits16': 'vit_small_patch16_224', 'vits16-12heads': 'vit_small_patch16_224', 'vitb16': 'vit_base_patch16_224',
    'vitb8': 'vit_base_patch8_224', 'vits14': 'vit_small_patch14_dinov2', 'vitb14': 'vit_base_patch14_dinov2',
    'vits14-reg': 'vit_small_patch14_reg4_dinov2', 'vitb14-reg': 'vit_base_patch14_reg4_dinov2'
}
DATA = {  # class and number of classes
    'voc': ('VOCLayoutDataset', 21), 'coco-stuff': ('COCOStuff15', 15), 'coco-thing': ('COCOThings12', 12),
    'ade20k-street': ('ADE20KStreetParts', 111), 'ade20k': ('ADE20K151', 151)
}
FRACTIONS = {'voc': {8: 1320, 64: 160, 128: 80}, 'ade20k': {8: 2550, 64: 300, 128: 150}}  # docs/methods/neco.md §8.1
SIDE = 32


def named(task):
    """Path, network, data set and the rest of the name of every config of a task on data with masks, of both methods;
    those for folders without are in test_folder_configs.py."""
    for path in sorted(CONFIGS.glob(f'*/{task}/*.py')):
        net, data, *rest = path.stem.split('_')
        if data == 'folder':
            continue
        yield pytest.param(path, net, data, rest[0] if rest else '', id=f'{path.parent.parent.name}-{path.stem}')


def check_network(model, net):
    if net == 'r50':
        assert (model.backbone.type, model.backbone.depth) == ('leopart_mm.DenseResNet', 50)
    else:
        assert model.backbone.arch == ARCHES[net]
        assert (model.backbone.get('model_kwargs') == dict(num_heads=12)) == net.endswith('12heads')


def ignored(data):
    return 0 if data == 'ade20k' else 255


@pytest.mark.parametrize(('path', 'net', 'data', 'rest'), named('overcluster'))
def test_overclustering_is_what_its_name_says(path, net, data, rest):
    cfg = load_config(path)
    check_network(cfg.model, net)
    head = cfg.model.decode_head
    assert (head.num_clusters, head.seeds, head.pca_dim, head.niter, head.nredo) == (int(rest[1:]), 5, 50, 100, 5)
    assert cfg.test_dataloader.dataset.type == f'leopart_mm.{DATA[data][0]}'
    assert cfg.test_evaluator.get('ignore_index', 255) == ignored(data)
    assert (cfg.test_evaluator.matching, tuple(cfg.test_evaluator.eval_size)) == ('auto', (100, 100))
    assert dict(type='Resize', scale=(448, 448), keep_ratio=False) in cfg.test_dataloader.dataset.pipeline


@pytest.mark.parametrize(('path', 'net', 'data', 'rest'), named('retrieval'))
def test_retrieval_is_what_its_name_says(path, net, data, rest):
    cfg = load_config(path)
    check_network(cfg.model, net)
    head, fit = cfg.model.decode_head, cfg.test_cfg.fit_dataloader
    assert (head.num_classes, head.k, head.temperature) == (DATA[data][1], 30, 0.02)
    assert head.get('ignore_index', 255) == cfg.test_evaluator.get('ignore_index', 255) == ignored(data)
    memory = 1024 * 10**int(rest[-1]) if rest.startswith('mem') else None
    assert (head.memory_size, head.passes) == (memory, 1 if memory is None else 2)
    for dataset in (fit.dataset, cfg.test_dataloader.dataset):
        assert dataset.type == f'leopart_mm.{DATA[data][0]}'
    images = FRACTIONS[data][int(rest[5:])] if rest.startswith('frac') else None
    assert fit.dataset.get('num_samples') == images
    side = 512 if net == 'vits16' else 504
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


@pytest.mark.parametrize(('path', 'net', 'data', 'rest'), named('linear'))
def test_probe_is_what_its_name_says(path, net, data, rest):
    cfg = load_config(path)
    check_network(cfg.model, net)
    head = cfg.model.decode_head
    assert cfg.model.backbone.frozen_stages == (4 if net == 'r50' else 12)
    width = {'r': 2048, 'b': 768, 's': 384}[net[0] if net == 'r50' else net[3]]
    assert (head.num_classes, head.in_channels, head.channels) == (DATA[data][1], width, width)
    assert cfg.train_dataloader.batch_size == (128 if path.parent.parent.name == 'neco' else 60)
    assert cfg.optim_wrapper.optimizer.lr == (0.1 if rest == 'lr-0.1' else 0.01)
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[0].step_size, cfg.randomness.seed) == (25, 20, 400)
    for dataset in (cfg.train_dataloader.dataset, cfg.val_dataloader.dataset, cfg.test_dataloader.dataset):
        assert dataset.type == f'leopart_mm.{DATA[data][0]}'
    if data.startswith('coco'):
        assert cfg.train_dataloader.dataset.num_samples == round(118287 / 10)
        assert cfg.val_dataloader.dataset.get('num_samples') is None
    for part in (head, cfg.val_evaluator, cfg.test_evaluator):
        assert part.get('ignore_index', 255) == ignored(data)
    if net != 'r50':
        assert cfg.model.data_preprocessor.test_cfg.size_divisor == int(re.search(r'\d+', net)[0])


@pytest.mark.parametrize(('file', 'clusters', 'threshold', 'time'), [
    ('leopart/fully_unsup/vits16_voc', 149, 0.09, 2.), ('leopart/fully_unsup/vitb8_voc', 109, 0.07, 0.4),
    ('neco/fully_unsup/vits14_voc', 189, 0.07, 1.2), ('neco/fully_unsup/vitb14_voc', 149, 0.07, 1.7)
])
def test_published_settings_of_the_chain(file, clusters, threshold, time):
    stages = load_config(CONFIGS / f'{file}.py').model.postprocessors
    foreground, fitted, communities = stages.values()
    assert foreground.type == 'leopart_mm.CBFE'
    assert fitted.num_clusters == clusters
    assert (communities.weight_threshold, communities.markov_time) == (threshold, time)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture(scope='session')
def roots(tmp_path_factory):
    """Four images of every data set, in its own layout. Each class has its colour, so that clusters can find it."""
    root, rng = tmp_path_factory.mktemp('data'), np.random.default_rng(0)
    for data in DATA:
        for index in range(4):
            mask = rng.integers(1, 6, (4, 4), dtype=np.uint8).repeat(SIDE // 4, 0).repeat(SIDE // 4, 1)
            image = np.stack([mask * 40, 255 - mask * 40, mask % 2 * 255], -1).astype(np.uint8)
            if data.startswith('coco'):
                masks = dict(stuff='stuff15', thing='things12')[data[5:]]
                save(root / data / f'images/val2017/{index}.png', image)
                save(root / data / f'annotations/{masks}/val2017/{index}.png', mask)
                (root / data / f'images/val2017/{index}.png').rename(root / data / f'images/val2017/{index}.jpg')
            elif data == 'ade20k':
                for split in ('training', 'validation'):
                    save(root / data / f'images/{split}/{index}.jpg', image)
                    save(root / data / f'annotations/{split}/{index}.png', mask)
            else:
                save(root / data / f'JPEGImages/{index}.jpg', image)
                for folder in ('SegmentationClass', 'SegmentationClassAug'):
                    save(root / data / f'{folder}/{index}.png', mask)
        lists = root / data / 'ImageSets/Segmentation'
        lists.mkdir(parents=True)
        for split in ('train', 'trainaug', 'val'):
            (lists / f'{split}.txt').write_text('0\n1\n2\n3\n')
    (root / 'ade20k-street/meta.json').write_text(json.dumps(dict(classes=[f'part {i}' for i in range(111)])))
    return root


def tiny(path, roots, work_dir):
    data = next((data for data in path.stem.split('_') if data in DATA), 'voc')
    cfg = load_config(path, dict(data_root=str(roots / data)))
    if cfg.model.backbone.type == 'leopart_mm.DenseViT':
        cfg.model.backbone.update(arch='vit_tiny_patch16_224', model_kwargs=dict(
            img_size=SIDE, patch_size=8, embed_dim=16, depth=1, num_heads=2))
    else:
        cfg.model.backbone.update(depth=18, base_channels=8, stem_channels=8)
    head = cfg.model.decode_head
    if head.type == 'leopart_mm.OverclusterHead':
        most = 30 if 'ViT' in cfg.model.backbone.type else 12  # stride 16: 4 points per image
        head.update(seeds=2, niter=10, nredo=1, pca_dim=8, num_clusters=min(head.num_clusters, most))
    else:
        head.update(k=5, memory_size=None if head.get('memory_size') is None else 24)
    for loader in (cfg.test_dataloader, cfg.test_cfg.get('fit_dataloader')):
        if loader is None:
            continue
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        for step in loader.dataset.pipeline:
            if 'scale' in step and step.type == 'Resize':
                step.scale = (SIDE, SIDE)
            if 'size' in step:
                step.size = SIDE if step.type == 'leopart_mm.SegRandomResizedCrop' else (SIDE, SIDE)
    if cfg.test_evaluator.get('eval_size'):
        cfg.test_evaluator.eval_size = (20, 20)
    cfg.work_dir, cfg.log_level = str(work_dir), 'WARNING'
    cfg.experiment_name = f'{path.parent.parent.name}_{path.parent.name}_{path.stem}_{work_dir.name}'
    return cfg


def run(cfg):
    with DefaultScope.overwrite_default_scope('mmseg'):
        runner = Runner.from_cfg(cfg)
        return runner.test(), runner.model


# One of each kind: every data set, network family, matching and memory.
KINDS = [
    'leopart/overcluster/vits16_voc_k500', 'leopart/overcluster/vits16_voc_k21', 'leopart/overcluster/r50_voc_k500',
    'leopart/overcluster/vits16_coco-stuff_k500', 'leopart/overcluster/vits16_coco-thing_k500',
    'leopart/overcluster/vits16_ade20k-street_k500', 'neco/overcluster/vits14_ade20k_k151',
    'neco/retrieval/vits14_voc_mem-1024e2', 'neco/retrieval/vits14_voc_published', 'neco/retrieval/vits14_ade20k',
    'msrc21/retrieval_vit-tiny_msrc21', 'sample/retrieval_vit-micro_sample',
]


@pytest.mark.parametrize('name', KINDS)
def test_whole_evaluation_gives_the_same_number_twice(name, roots, tmp_path):
    path = CONFIGS / f'{name}.py'
    (tmp_path / '1').mkdir()
    metrics, model = run(tiny(path, roots, tmp_path / '1'))
    again, _ = run(tiny(path, roots, tmp_path / '2'))
    scores = {key: value for key, value in metrics.items() if 'time' not in key}
    assert scores == {key: again[key] for key in scores}
    if 'retrieval' in name:
        info = model.decode_head.info
        assert (info['images'], info['passes']) == (4, model.decode_head.passes)
        assert metrics['direct/aAcc'] > 35, 'chance is 20'
        assert metrics['direct/mIoU'] <= metrics['hungarian/mIoU'] + 1e-9
        if 'mem' in name:
            assert info['rows'] == 4 * 2 * 3
    else:
        assert metrics['aAcc'] > 35, 'chance is 20'
