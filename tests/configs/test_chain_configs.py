"""Configs of MaskDistill's chain: each names its parts, and data, numbers and networks reach all of them."""

import pytest

from leopart_mm.apis.maskdistill_settings import PARTS, load_chain
from leopart_mm.masks.crf import CRFSettings
from tests.paths import REPO

ROOM = REPO / 'configs' / 'maskdistill'
CHAINS = sorted(ROOM.glob('maskdistill_*.py'))
NETWORK = 'timm://vit_tiny_patch16_224.augreg_in21k'


@pytest.mark.parametrize('path', CHAINS, ids=lambda path: path.stem)
def test_data_and_numbers_reach_every_part(path, tmp_path):
    options = dict(data_root=str(tmp_path), num_clusters=7)
    if 'support_root' in path.read_text():
        options['support_root'] = '/support'
    chain = load_chain(path, options)
    settings, parts = chain.settings, chain.parts
    named = settings.ground_truth is not None
    number = 20 if named else 7
    assert chain.num_categories == number
    images = str(tmp_path / settings.image_folder)
    assert parts['masks'].proposal_dataloader.dataset.data_root.rstrip('/') == images.rstrip('/')
    assert parts['clusters'].mask_clusters.num_clusters == 7
    assert parts['detector'].train_dataloader.dataset.data_root == images
    heads = parts['detector'].model.roi_head
    assert heads.bbox_head.num_classes == heads.mask_head.num_classes == number
    assert parts['deeplab'].model.decode_head.num_classes == number + 1
    assert parts['deeplab'].train_dataloader.dataset.num_classes == number + 1
    assert ('support' in parts) == ('support_root' in options)
    if 'support' in parts:
        assert parts['support'].proposal_dataloader.dataset.data_root == '/support/JPEGImages'
    for part in PARTS:
        assert parts[part].randomness.seed is not None or part == 'masks'


def test_options_of_parts_and_of_all_networks():
    path = ROOM / 'maskdistill_vit-tiny_voc-subset.py'
    chain = load_chain(path, {'checkpoint': '/w.pth', 'detector.iterations': 7, 'deeplab.epochs': 3,
                              'masks.proposals.topk': 0.3, 'clusters.checkpoint': '/other.pth'})
    checkpoints = {part: cfg.model.backbone.checkpoint for part, cfg in chain.parts.items()}
    assert checkpoints == dict(masks='/w.pth', clusters='/other.pth', detector='/w.pth', deeplab='/w.pth')
    assert chain.parts['detector'].train_cfg.max_iters == 7
    assert chain.parts['deeplab'].train_cfg.max_epochs == 3
    assert chain.parts['masks'].proposals.topk == 0.3


def test_published_settings():
    settings = load_chain(ROOM / 'maskdistill_dino-vits16_voc.py').settings
    assert (settings.label_maps.threshold, settings.label_maps.order, settings.label_maps.overlap) == (
        0.9, 'file', 'published')
    assert settings.crf == CRFSettings()
    assert settings.num_clusters == 20


@pytest.mark.parametrize(('options', 'message'), [
    ({'chain.rounds': -1}, 'chain.rounds must be a whole number of at least 0, not -1'),
    ({'num_clusters': 0}, 'chain.num_clusters must be a whole number of at least 1'),
    ({'num_clusters': 2.5}, 'not 2.5'),
    ({'chain.label_maps.overlap': 'both'}, "overlap='both' is unknown"),
    ({'chain.crf.iterations': -1}, 'iterations'),
    ({'chain.labelmaps.threshold': 0.5}, 'chain has no labelmaps; there are: masks, clusters'),
    ({'chain.ground_truth.maps': 'x'}, 'chain.ground_truth has no maps'),
    ({'chain.support': 'masks_dino-vits16_voc.py'}, 'give both, or none'),
    ({'detector.data_root': '/x'}, 'detector.data_root: .* follow from the config of the chain'),
    ({'detector.iteration': 4}, "Did you mean 'iterations'"),
])
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        load_chain(ROOM / 'maskdistill_vit-tiny_voc-subset.py', options)


def test_another_config_is_refused():
    with pytest.raises(ValueError, match='has no chain: this run needs a config such as'):
        load_chain(ROOM / 'clusters_dino-vits8_voc.py')
