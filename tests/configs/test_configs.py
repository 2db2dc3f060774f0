"""Every config file: it loads, is flat, its variables and its network reach the places they fill, and its kind runs."""

import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from leopart_mm.engine.config import load_config
from leopart_mm.engine.renamed_configs import CHECKPOINTS
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.registry import MODELS
from tests.paths import REPO

FOLDER = REPO / 'configs'
ALL_FILES = sorted(FOLDER.rglob('*.py'))
CHAINS = set((FOLDER / 'maskdistill').glob('maskdistill_*.py'))  # they name configs; see test_chain_configs.py
FILES = [path for path in ALL_FILES if '_base_' not in path.parts and path not in CHAINS]
LOADED = {path: load_config(path) for path in FILES}
NETWORK = 'timm://vit_tiny_patch16_224.augreg_in21k'


def name_of(path):
    return str(path.relative_to(FOLDER).with_suffix(''))


def strings(node):
    """All strings of nested dicts and lists."""
    if isinstance(node, dict):
        return [text for value in node.values() for text in strings(value)]
    if isinstance(node, list | tuple):
        return [text for value in node for text in strings(value)]
    return [node] if isinstance(node, str) else []


def depth(path):
    bases = Config._get_base_files(str(path))
    return 1 + max((depth((path.parent / base).resolve()) for base in bases), default=0)


def test_files_are_flat_and_say_what_they_are():
    for path in FILES:
        assert depth(path) <= 4, path
    for path in ALL_FILES:
        assert path.read_text().startswith('# '), path
        assert not re.search(r'\]\.update\(', path.read_text()), f'{path} edits a list by index'
    statistics = [path for path in ALL_FILES if '123.675' in path.read_text()]
    assert [path.name for path in statistics] == ['network.py']


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_data_and_network_reach_every_place(path):
    """Of one command line: no other place keeps a folder, a width, an architecture or colour statistics of its own."""
    kind = LOADED[path].model.backbone.type
    cfg = load_config(path, dict(data_root='/elsewhere', **(dict(backbone=NETWORK) if 'ViT' in kind else {})))
    loader = cfg.get('train_dataloader') or cfg.get('test_dataloader') or cfg.get('proposal_dataloader')
    root = (loader.dataset if loader else cfg.mask_clusters).data_root
    assert root in ('/elsewhere', '/elsewhere/JPEGImages')
    roots = {text for text in strings(cfg._cfg_dict.to_dict()) if text.startswith('data/')}
    assert roots <= {cfg.get('val_data_root'), cfg.get('examples')}
    if 'ViT' not in kind:
        return
    backbone = cfg.model.backbone
    assert (backbone.arch, backbone.pos_interp) == ('vit_tiny_patch16_224.augreg_in21k', 'timm')
    assert (backbone.checkpoint or cfg.load_from) == NETWORK
    assert not re.search(r'channels\D{1,4}(384|768)\b', str(cfg.model.get('decode_head', {})))
    if not path.stem.endswith('_published') or 'retrieval' not in path.parts:
        preprocessor = cfg.model.data_preprocessor
        assert list(preprocessor.mean) == list(preprocessor.std) == [127.5] * 3


def test_evaluations_are_seeded():
    for path, cfg in LOADED.items():
        assert cfg.randomness.seed is not None, path


OLD_NAMES = {
    'leopart/overcluster/leopart-vits16-coco_voc_k500': 'leopart/overcluster/vits16_voc_k500',
    'leopart/overcluster/random-vits16_ade20k-street_k500': 'leopart/overcluster/vits16_ade20k-street_k500',
    'leopart/overcluster/leopart-mocov3-vits16_voc_k500': 'leopart/overcluster/vits16-12heads_voc_k500',
    'leopart/overcluster/leopart-mae-vitb16_voc_k500': 'leopart/overcluster/vitb16_voc_k500',
    'leopart/overcluster/densecl-r50_coco-thing_k500': 'leopart/overcluster/r50_coco-thing_k500',
    'leopart/linear_leopart-vits16_coco-stuff': 'leopart/linear/vits16_coco-stuff',
    'leopart/linear_dino-vits16_voc': 'leopart/linear/vits16_voc',
    'leopart/linear_maskcontrast-r50_voc': 'leopart/linear/r50_voc_lr-0.1',
    'leopart/fcn_leopart-vitb8_voc': 'leopart/fcn/vitb8_voc',
    'leopart/upernet_leopart-vits16_voc': 'leopart/decoders/upernet_vits16_voc',
    'leopart/fully_unsup_cbfe_vits16_voc': 'leopart/fully_unsup/vits16_voc_cbfe',
    'leopart/fully_unsup_vits16_small': 'leopart/fully_unsup/vits16_small',
    'neco/fully_unsup_neco-vitb14_voc': 'neco/fully_unsup/vitb14_voc',
    'neco/retrieval/retrieval_neco-vits14-reg_voc': 'neco/retrieval/vits14-reg_voc',
    'neco/linear/linear_neco-vits14_ade20k': 'neco/linear/vits14_ade20k',
    'neco/overcluster/overcluster_neco-vits16_voc_k21': 'leopart/overcluster/vits16_voc_k21',
}


@pytest.mark.parametrize('old', OLD_NAMES)
def test_old_names_find_their_files(old):
    assert not (FOLDER / f'{old}.py').exists()
    cfg = load_config(FOLDER / f'{old}.py')
    assert cfg.filename == str(FOLDER / f'{OLD_NAMES[old]}.py')
    if (checkpoint := CHECKPOINTS.get(old.rpartition('/')[2])) is not None:
        assert cfg.model.backbone.checkpoint == cfg.checkpoint == checkpoint


def tiny(cfg):
    """The config's model with a backbone of two narrow blocks and few clusters."""
    model = cfg.model.to_dict()
    backbone, head = model['backbone'], model['decode_head']
    if backbone['type'] == 'leopart_mm.DenseResNet':
        backbone.update(depth=18, base_channels=8, stem_channels=8)
    else:
        backbone.update(arch='vit_tiny_patch16_224', model_kwargs=dict(
            img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2))
    head.update(num_clusters=6, pca_dim=4, niter=2, nredo=1, seeds=2, num_samples=300)
    stages = model.get('postprocessors', {})
    for stage in filter(None, stages.values()):
        if 'num_clusters' in stage:
            stage['num_clusters'] = 4
    return model


# Settings that differ in nothing but the network, data or K run once.
UNSUPERVISED = {repr(tiny(cfg)): path for path, cfg in LOADED.items()
                if cfg.model.get('type') == 'leopart_mm.UnsupervisedSegmentor' and 'published' not in path.stem}


@pytest.mark.parametrize('path', UNSUPERVISED.values(), ids=name_of)
def test_unsupervised_model_fits_and_predicts(path):
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(tiny(LOADED[path])).eval()
    model.init_weights()
    images = torch.randn(4, 3, 64, 64)
    batch = model.extract_batch(images, None)
    batch = FeatureBatch(batch.features, None, [f'image {i}' for i in range(4)], batch.extents)
    model.fit([batch])
    labels = torch.stack([sample.pred_clusters.data for sample in model.predict(images)])
    assert labels.shape[:2] == (4, 2 if 'postprocessors' not in LOADED[path].model else labels.shape[1])
    assert 0 <= labels.min() <= labels.max() < model.num_labels
    # Communities of noise may be a single one.
    assert len(labels.unique()) > 1 or 'CommunityDetection' in str(LOADED[path].model.postprocessors)
