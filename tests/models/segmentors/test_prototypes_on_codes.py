"""PrototypeSegmentor on top of STEGO and HP: from their file to predictions, a step, and a saved model that reloads."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.runner.checkpoint import load_state_dict
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from leopart_mm.checkpoints.safe_reading import load_checkpoint_file
from leopart_mm.registry import MODELS
from tests.checkpoints.code_layouts import CLASSES, hp, stego
from tests.engine.hooks.test_backbone_checkpoint_hook import load
from tests.models.backbones.builders import TINY

MEAN_STD = dict(mean=[0., 0., 0.], std=[1., 1., 1.])


def segmentor(path, cache=None, **neck):
    model = MODELS.build(dict(
        type='leopart_mm.PrototypeSegmentor',
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor', size=(32, 32), **MEAN_STD),
        backbone=dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224', model_kwargs=TINY, checkpoint=path),
        neck=dict(type='leopart_mm.CodeHead', checkpoint=path, **neck),
        decode_head=dict(type='leopart_mm.PrototypeHead', num_prototypes=CLASSES),
        objective=dict(type='leopart_mm.PrototypeEM'), linear_probe=dict(num_classes=CLASSES), cache=cache))
    return model.eval()


def without_extra_clusters(file):
    file['state_dict']['cluster_probe.clusters'] = file['state_dict']['cluster_probe.clusters'][:CLASSES]
    return file


FILES = {'stego': without_extra_clusters(stego()), 'hp': hp()}
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def clusters_of(file):
    return file['state_dict']['cluster_probe.clusters'] if 'state_dict' in file else (
        file['cluster_model_state_dict']['clusters'])


def batch():
    generator = torch.Generator().manual_seed(2)
    samples = []
    for _ in IMAGES:
        sample = SegDataSample(proposals=PixelData(data=torch.randint(1, 4, (1, 32, 32), generator=generator)))
        sample.gt_sem_seg = PixelData(data=torch.randint(0, CLASSES, (1, 32, 32), generator=generator))
        samples.append(sample)
    return samples


@pytest.mark.parametrize('name', FILES)
def test_from_the_file_to_a_saved_model(name, tmp_path):
    path = str(tmp_path / f'{name}.ckpt')
    torch.save(FILES[name], path)
    model = segmentor(path)
    load(model, load_checkpoint_file(path), tmp_path)  # as load_from does
    code = model.features(IMAGES)
    assert code.shape == (2, 6, 4, 4)
    scores = torch.einsum('bdhw,kd->bkhw', code, F.normalize(clusters_of(FILES[name]), dim=1))
    for head in (model.decode_head, model.teacher.decode_head):
        torch.testing.assert_close(head(code), scores)
    losses = model.train().loss(IMAGES, batch())
    total = sum(value for key, value in losses.items() if key.startswith('loss'))
    total.backward()
    moved = {key for key, parameter in model.named_parameters() if parameter.grad is not None}
    assert moved == {'decode_head.weight_g', 'decode_head.weight_v', 'linear_probe.weight', 'linear_probe.bias'}
    before = [sample.pred_momentum.data for sample in model.eval().predict(IMAGES)]
    state = model.state_dict()
    (tmp_path / f'{name}.ckpt').unlink()
    again = segmentor(path)  # on a machine that has the saved model only
    load_state_dict(again, state)
    assert again.state_dict().keys() == state.keys()
    after = [sample.pred_momentum.data for sample in again.predict(IMAGES)]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_the_moving_average_of_hp(tmp_path):
    torch.save(hp(), tmp_path / 'hp.pth')
    codes = []
    for ema in (False, True):
        model = segmentor(str(tmp_path / 'hp.pth'), ema=ema)
        load(model, hp(), tmp_path)
        codes.append(model.features(IMAGES))
    assert not torch.allclose(*codes)


def test_a_cache_keeps_codes_but_no_noise(tmp_path):
    torch.save(hp(), tmp_path / 'hp.pth')
    for dropout, same in ((0., True), (0.1, False)):
        model = segmentor(str(tmp_path / 'hp.pth'), cache='memory', dropout=dropout)
        model.init_weights()
        assert torch.equal(model.clean_features(IMAGES), model.clean_features(IMAGES)) == same
