"""Configs of MaskDistill's chain: each names its parts, and data, numbers and networks reach all of them."""

import sys

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
    ({'detector.ann_file': 'x.json'}, 'detector.ann_file: the run itself writes what is read there'),
    ({'detector.test_ann_file': 'x.json'}, 'detector.test_ann_file: the run itself writes'),
    ({'clusters.mask_clusters.seed': -3}, 'mask_clusters.seed must be a whole number from 0 to'),
    ({'clusters.mask_clusters.seed': 2**32}, 'mask_clusters.seed must be a whole number from 0 to'),
    ({'chain.label_maps.threshold': 'abc'}, "threshold='abc': give a number"),
    ({'deeplab.label_folder': 'x'}, 'deeplab.label_folder: the run itself writes'),
])
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        load_chain(ROOM / 'maskdistill_vit-tiny_voc-subset.py', options)


def test_more_categories_than_a_label_map_holds_are_refused_before_anything_runs():
    path = ROOM / 'maskdistill_dino-vits16_folder.py'
    assert load_chain(path, dict(num_clusters=254)).parts['deeplab'].model.decode_head.num_classes == 255
    with pytest.raises(ValueError, match='255 categories are too many: a label map of bytes holds 254'):
        load_chain(path, dict(num_clusters=255))
    with pytest.raises(ValueError, match='255 categories are too many'):
        load_chain(path, {'num_clusters': 51, 'clusters.mask_clusters.overcluster': 5})


def test_without_mmdet_nothing_is_begun(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmdet', None)
    with pytest.raises(RuntimeError, match="needs MMDetection, which is not installed: pip install 'leopart_mm"):
        load_chain(ROOM / 'maskdistill_dino-vits16_folder.py')


def test_a_support_set_has_the_options_of_the_masks():
    options = {'masks.checkpoint': '/w.pth', 'masks.proposals.block': 5, 'masks.short_side': 320}
    parts = load_chain(ROOM / 'maskdistill_dino-vits16_voc.py', options | {'support.short_side': 480}).parts
    for part in ('masks', 'support'):
        assert (parts[part].model.backbone.checkpoint, parts[part].proposals.block) == ('/w.pth', 5)
    assert (parts['masks'].short_side, parts['support'].short_side) == (320, 480)


def test_a_path_is_one_however_it_is_written(monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path.parent))
    path = ROOM / 'maskdistill_vit-tiny_voc-subset.py'
    expected = load_chain(path, dict(data_root=str(tmp_path)))
    for root in (f'~/{tmp_path.name}', f'{tmp_path}/.//'):
        found = load_chain(path, dict(data_root=root))
        assert found.settings == expected.settings
        for part in PARTS:
            assert found.parts[part]._cfg_dict == expected.parts[part]._cfg_dict


def test_another_config_is_refused():
    with pytest.raises(ValueError, match='has no chain: this run needs a config such as'):
        load_chain(ROOM / 'clusters_dino-vits8_voc.py')
