"""Every config file: it loads, its variables reach the places they fill, and some test builds and steps it."""

import pytest
import torch
from mmengine.registry import init_default_scope

from leopart_mm.engine.config import load_config
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.registry import MODELS
from tests.configs.stepping import take_step
from tests.configs.test_decoders import CONFIGS as DECODER_CONFIGS
from tests.configs.test_neco_evaluation_configs import RETRIEVALS
from tests.configs.test_neco_training_configs import TRAININGS as NECO_TRAININGS
from tests.configs.test_training_configs import TABLE as PUBLISHED_TRAININGS
from tests.configs.test_training_configs import batch_of, shrunk
from tests.paths import REPO

FOLDER = REPO / 'configs'
FILES = sorted(path for path in FOLDER.rglob('*.py') if '_base_' not in path.parts)
STEPPED_ELSEWHERE = {*DECODER_CONFIGS, *(f'leopart_{name}' for name in PUBLISHED_TRAININGS),
                     *(path.stem for path in (*RETRIEVALS, *NECO_TRAININGS))}


def kind(path):
    return load_config(path).model.type


TRAININGS = [path for path in FILES if path.stem not in STEPPED_ELSEWHERE and kind(path) == 'leopart_mm.Leopart']
EVALUATIONS = [path for path in FILES if kind(path) == 'leopart_mm.UnsupervisedSegmentor']


def strings(node):
    """All strings of nested dicts and lists."""
    if isinstance(node, dict):
        return [text for value in node.values() for text in strings(value)]
    if isinstance(node, list | tuple):
        return [text for value in node for text in strings(value)]
    return [node] if isinstance(node, str) else []


def test_no_config_is_left_out():
    covered = {*TRAININGS, *EVALUATIONS, *(path for path in FILES if path.stem in STEPPED_ELSEWHERE)}
    assert sorted(set(FILES) - covered) == []
    assert len(FILES) > 80


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_config_loads_and_paths_spread(path):
    cfg = load_config(path, dict(data_root='/elsewhere/data'))
    assert 'leopart_mm' in cfg.custom_imports.imports
    assert path.read_text().startswith('# '), 'a config begins with what it is'
    loader = cfg.get('train_dataloader') or cfg.get('test_dataloader')
    assert '/elsewhere/data' in ' '.join(strings(loader.to_dict()))


def tiny(path, size=16):
    """The config's model with a backbone of two narrow blocks."""
    model = load_config(path).model.to_dict()
    backbone = model['backbone']
    if backbone['type'] == 'leopart_mm.DenseResNet':
        backbone.update(checkpoint=None, depth=18, base_channels=8, stem_channels=8)
    else:
        backbone.update(checkpoint=None, arch='vit_tiny_patch16_224',
                        model_kwargs=dict(img_size=32, patch_size=8, embed_dim=size, depth=2, num_heads=2))
    return model


@pytest.mark.parametrize('path', TRAININGS, ids=lambda path: path.stem)
def test_training_takes_a_step(path):
    cfg = load_config(path)
    _, logs, changed = take_step(cfg, shrunk(cfg), batch_of)
    assert torch.isfinite(logs['loss'])
    assert changed


@pytest.mark.parametrize('path', EVALUATIONS, ids=lambda path: path.stem)
def test_evaluation_fits_and_predicts(path):
    init_default_scope('mmseg')
    settings = tiny(path)
    head = settings['decode_head']
    head.update(num_clusters=6, pca_dim=4, niter=2, nredo=1, seeds=2, num_samples=300)
    stages = [stage for stage in settings.get('postprocessors', {}).values() if stage]
    for stage in stages:
        if 'num_clusters' in stage:
            stage['num_clusters'] = 4
    torch.manual_seed(0)
    model = MODELS.build(settings).eval()
    model.init_weights()
    images = torch.randn(4, 3, 64, 64)
    batch = model.extract_batch(images, None)
    batch = FeatureBatch(batch.features, None, [f'image {i}' for i in range(4)], batch.extents)
    if any(stage.get('threshold') == 'published' for stage in stages):
        pytest.skip('its threshold needs ground truth; tests/models/postprocessors fits it')
    model.fit([batch])
    predicted = model.predict(images)
    assert all(sample.pred_sem_seg.data.shape == (1, 64, 64) for sample in predicted)
    assert all(int(sample.pred_clusters.data.max()) < model.num_labels for sample in predicted)
