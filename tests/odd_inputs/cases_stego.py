"""Files of STEGO, HP and PriMaPs that lack what is asked of them, or do not belong together."""

import json

import torch
from mmengine.runner import Runner

from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.models.necks import CodeHead
from leopart_mm.models.segmentors import UnsupervisedSegmentor
from tests.checkpoints.code_layouts import hp, primaps, stego
from tests.models.backbones.builders import TINY
from tests.odd_inputs.case import case, error_of

SECTION = 'Checkpoints of STEGO, HP and PriMaPs'
NECK = 'neck.checkpoint=FILE'


def build(neck, **backbone):
    """A tiny segmentor with its weights."""
    backbone = {'type': 'leopart_mm.DenseViT', 'model_kwargs': TINY, **backbone}
    head = dict(type='leopart_mm.OverclusterHead', num_clusters=2, seeds=1, pca_dim=None)
    model = UnsupervisedSegmentor(backbone=backbone, neck=dict(type='leopart_mm.CodeHead', **neck), decode_head=head)
    model.init_weights()
    return model


def save(folder, checkpoint, name='run.ckpt'):
    torch.save(checkpoint, folder / name)
    return str(folder / name)


@case(SECTION, 'A folder with `ckpt.pth` in it, as in the README of HP', NECK)
def a_folder(folder):
    save(folder, hp(), 'ckpt.pth')
    return error_of(lambda: CodeHead(str(folder)), FileNotFoundError, 'ckpt.pth')


@case(SECTION, 'A STEGO file without its head', NECK)
def without_head(folder):
    file = stego()
    file['state_dict'] = {key: value for key, value in file['state_dict'].items() if not key.startswith('net.cluster')}
    path = save(folder, file)
    return error_of(lambda: CodeHead(path), BackboneCheckpointError, 'no head')


@case(SECTION, 'An HP file without its head and without the moving average', NECK)
def without_heads(folder):
    file = hp()
    network = file['net_model_state_dict']
    file['net_model_state_dict'] = {key: value for key, value in network.items() if key.startswith('model.')}
    path = save(folder, file)
    return error_of(lambda: CodeHead(path), BackboneCheckpointError, 'no head')


@case(SECTION, 'A STEGO file whose head lost a tensor', NECK)
def damaged(folder):
    file = stego()
    del file['state_dict']['net.cluster2.2.bias']
    path = save(folder, file)
    return error_of(lambda: CodeHead(path), BackboneCheckpointError, 'cluster2.2.bias')


@case(SECTION, 'The moving average of a STEGO head', f'{NECK} neck.ema=True')
def no_average(folder):
    path = save(folder, stego())
    return error_of(lambda: CodeHead(path, ema=True), BackboneCheckpointError, 'moving average')


@case(SECTION, 'A head of 32 channels on a backbone of 24', NECK)
def another_width(folder):
    path = save(folder, stego())
    return error_of(lambda: build(dict(checkpoint=path), model_kwargs={**TINY, 'embed_dim': 24}), ValueError, '24')


@case(SECTION, 'A file with a head of 6 channels, a config with 70', f'{NECK} neck.out_channels=70')
def another_code(folder):
    path = save(folder, stego())
    return error_of(lambda: CodeHead(path, out_channels=70), BackboneCheckpointError, '70')


@case(SECTION, 'A STEGO run on keys, a backbone that gives tokens', NECK)
def keys(folder):
    path = save(folder, stego(cfg=dict(dino_feat_type='KK')))
    return error_of(lambda: build(dict(checkpoint=path), checkpoint=path), ValueError, "features='keys'")


@case(SECTION, 'The option file of another HP run', f'{NECK} neck.options=JSON')
def other_options(folder):
    options = folder / 'hp.json'
    options.write_text(json.dumps(dict(model=dict(pretrained=dict(projection_type='nonlinear'), dim=512))))
    neck = CodeHead(save(folder, hp()), options=str(options))
    return error_of(neck.init_weights, ValueError, '512')


@case(SECTION, 'Prototypes of PriMaPs on STEGO, but no STEGO file', 'tools/test.py CONFIG FILE')
def prototypes_alone(folder):
    model = build(dict(checkpoint=save(folder, stego(), 'stego.ckpt')))
    runner = Runner(model, work_dir=str(folder / 'run'), load_from=save(folder, primaps(network=False, dim=6)),
                    log_level='ERROR', default_scope='mmseg', experiment_name=folder.name,
                    custom_hooks=[dict(type='leopart_mm.BackboneCheckpointHook')])
    return error_of(runner.load_or_resume, BackboneCheckpointError, 'without the network')
