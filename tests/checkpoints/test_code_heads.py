"""Files of STEGO, HP and PriMaPs: their networks, heads and prototypes under our names, read without their packages."""

import argparse
import json
from collections import OrderedDict
from typing import Any

import pytest
import torch

from leopart_mm.checkpoints.code_heads import CodeSettings, code_state, hp_settings, stego_settings
from leopart_mm.checkpoints.conversion import convert_checkpoint
from leopart_mm.checkpoints.networks import read_heads, read_networks
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError, load_checkpoint_file
from tests.checkpoints.code_layouts import CLASSES, code_layers, hp, primaps, probe, random, stego
from tests.checkpoints.foreign import foreign_class, forget
from tests.checkpoints.layouts import prefixed
from tests.checkpoints.test_conversion import assert_equal
from tests.models.backbones.builders import tiny_vit

HEAD = code_layers('cluster1', 'cluster2', 10)


def as_prototypes(clusters):
    return {'decode_head.weight_g': torch.ones(len(clusters), 1, 1, 1),
            'decode_head.weight_v': clusters[:, :, None, None]}


def prototypes(seed, dim=32):
    return {'weight_g': random(CLASSES, 1, 1, 1, seed=seed), 'weight_v': random(CLASSES, dim, 1, 1, seed=seed + 1)}


STEGO = {**prefixed(HEAD, 'neck.head.'), **as_prototypes(random(CLASSES + 1, 6, seed=21)),
         **prefixed(probe(22), 'linear_probe.')}
HP = {**prefixed(HEAD, 'neck.head.'), **prefixed(code_layers('cluster1', 'cluster2', 40), 'neck.ema.'),
      **as_prototypes(random(CLASSES, 6, seed=21)), **prefixed(probe(22), 'linear_probe.')}
EM = {**prefixed(prototypes(30), 'decode_head.'), **prefixed(prototypes(32), 'teacher.decode_head.'),
      **prefixed(probe(34, 32), 'linear_probe.')}
BASELINE = {**prefixed(prototypes(32), 'decode_head.'), **prefixed(probe(34, 32), 'linear_probe.')}
FILES = {'stego': (stego(), STEGO), 'hp': (hp(), HP), 'primaps': (primaps(), EM),
         'baseline': (primaps(baseline=True), BASELINE)}


@pytest.mark.parametrize('name', FILES)
def test_backbone_heads_and_prototypes_come_from_one_file(name):
    source, expected = FILES[name]
    network = read_networks(source)['student']
    assert_equal(network.backbone, tiny_vit().state_dict())
    assert_equal(network.heads, expected)
    written = convert_checkpoint(source, 'leopart_mm')
    assert_equal(written.checkpoint['state_dict'], {**prefixed(tiny_vit().state_dict(), 'backbone.'), **expected})
    assert_equal(read_heads(written.checkpoint), expected)  # what we write is read again


def test_what_is_left_out_is_named():
    dropped = set(convert_checkpoint(stego(), 'leopart_mm').dropped)
    assert dropped == {'state_dict.' + name for name in (
        'train_cluster_probe.clusters', 'decoder.weight', 'decoder.bias', 'cluster_metrics.stats',
        'linear_metrics.stats', 'test_cluster_metrics.stats', 'test_linear_metrics.stats',
        'contrastive_corr_loss_fn.running')}
    assert convert_checkpoint(hp(), 'leopart_mm').dropped == []
    assert set(convert_checkpoint(primaps(), 'leopart_mm').dropped) == {'state_dict.cluster_probe.' + name for name in (
        'online_model.weight_g', 'online_model.weight_v', 'initted', 'step')}
    # The segmentation head of a baseline is at its random start.
    assert convert_checkpoint(primaps(baseline=True), 'leopart_mm').dropped == [
        'state_dict.seghead.weight_g', 'state_dict.seghead.weight_v']
    dropped = convert_checkpoint(stego(), 'dino').dropped
    assert dropped.count('state_dict.cluster_probe.clusters') == 1


def test_prototypes_without_a_network():
    for baseline, expected in ((False, EM), (True, BASELINE)):
        assert_equal(read_heads(primaps(baseline, network=False)), expected)
    with pytest.raises(BackboneCheckpointError, match='it looks like prototypes of PriMaPs on STEGO or HP'):
        convert_checkpoint(primaps(network=False), 'leopart_mm')


class Node:
    """A node of OmegaConf's tree, as its classes are pickled: plain attributes, and a reference to its parent."""

    def fill(self, parent, **values):
        self.__dict__.update(_metadata=dict(ref_type=Any, object_type=int), _parent=parent, **values)
        return self


def test_lightning_files_are_read_without_the_packages_that_they_name(tmp_path, monkeypatch):
    tree = foreign_class(monkeypatch, 'omegaconf.dictconfig', 'DictConfig', Node)
    leaf = foreign_class(monkeypatch, 'omegaconf.nodes', 'AnyNode', Node)
    parameters = foreign_class(monkeypatch, 'pytorch_lightning.utilities.parsing', 'AttributeDict', dict)
    callback = foreign_class(monkeypatch, 'pytorch_lightning.callbacks', 'ModelCheckpoint')
    cfg = tree()
    cfg.fill(None, _content={key: leaf().fill(cfg, _val=value) for key, value in dict(
        dim=6, projection_type='nonlinear', dino_feat_type='KK', model_type='vit_small', dino_patch_size=8).items()})
    file = {**stego(), 'hyper_parameters': parameters(n_classes=CLASSES, cfg=cfg), 'callbacks': {callback: dict(a=1)}}
    torch.save(file, tmp_path / 'stego.ckpt')
    torch.save(primaps(opts=argparse.Namespace(dino_block=1, stego_ckpt='x')), tmp_path / 'primaps.ckpt')
    forget(monkeypatch, 'omegaconf')
    forget(monkeypatch, 'pytorch_lightning')
    loaded = load_checkpoint_file(tmp_path / 'stego.ckpt')
    assert_equal(read_heads(loaded), STEGO)
    assert stego_settings(loaded) == CodeSettings('keys', 'nonlinear', 6, 'vit_small', 8)
    loaded = load_checkpoint_file(tmp_path / 'primaps.ckpt')
    assert_equal(read_heads(loaded), EM)
    assert loaded['hyper_parameters']['opts'] == dict(dino_block=1, stego_ckpt='x')


def test_plain_hyper_parameters_say_the_same():
    assert stego_settings(stego()) == CodeSettings()
    assert stego_settings(hp()) == CodeSettings()
    assert stego_settings(stego(cfg=dict(dim=6, projection_type=None, dino_feat_type='feat'))) == CodeSettings(
        'tokens', 'identity', 6)
    with pytest.raises(ValueError, match=r"dino_feat_type='VV' is unknown\. Known: feat, KK"):
        stego_settings(stego(cfg=dict(dino_feat_type='VV')))


def test_options_of_hp(tmp_path):
    path = tmp_path / 'hp.json'
    pretrained = dict(model_type='vit_small', dino_patch_size=8, dino_feat_type='feat', projection_type='nonlinear')
    model = dict(pretrained=pretrained, dim=512, continuous=True, extra_clusters=0, spatial_size=28, ema_m=0.99)
    path.write_text(json.dumps(dict(model=model, eval=dict(is_direct=False))))
    assert hp_settings(path) == CodeSettings('tokens', 'nonlinear', 512, 'vit_small', 8)
    path.write_text(json.dumps(dict(model={**model, 'continuous': False})))
    assert hp_settings(path).dim is None  # then the width is the number of classes
    for text in ('{"model": {}}', '[1]', 'no json'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r'hp\.json is no option file of HP'):
            hp_settings(path)
    with pytest.raises(FileNotFoundError, match=r'There is no option file .*none\.json'):
        hp_settings(tmp_path / 'none.json')


def test_the_head_that_is_asked_for():
    assert_equal(code_state(stego(), False, 'x'), HEAD)
    assert_equal(code_state(hp(), False, 'x'), HEAD)
    assert_equal(code_state(hp(), True, 'x'), code_layers('cluster1', 'cluster2', 40))


def without(checkpoint, pattern):
    return {part: {key: value for key, value in state.items() if pattern not in key} if isinstance(state, dict)
            else state for part, state in checkpoint.items()}


@pytest.mark.parametrize(('checkpoint', 'ema', 'message'), [
    (without(stego(), 'net.cluster'), False, r'the file holds no head of STEGO \(net.cluster1.\*\) or HP .*neck=None'),
    (without(without(hp(), 'cluster1'), 'ema'), False, r'holds a part of a code head only: cluster1.0.bias, cluster1'),
    (OrderedDict(tiny_vit().state_dict()), False, 'the file holds no head of STEGO'),
    (primaps(), False, 'the file holds no head of STEGO'),
    (stego(), True, r'the file holds no moving average of its head .*STEGO none.*ema=False'),
    (without(hp(), 'ema_model'), True, 'the file holds no moving average'),
    (without(stego(), 'cluster2.0.bias'), False, 'cluster2.0.bias is missing'),
])
def test_heads_that_are_not_there(checkpoint, ema, message):
    with pytest.raises(BackboneCheckpointError, match=message):
        code_state(checkpoint, ema, 'the file')
