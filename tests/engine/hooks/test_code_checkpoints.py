"""Files of STEGO, HP and PriMaPs as the checkpoint of a whole model: network, code head and prototypes at once."""

import pytest
import torch
from torch import nn

from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.models.necks import CodeHead
from tests.checkpoints.code_layouts import CLASSES, EXTRA, hp, primaps, stego
from tests.checkpoints.layouts import prefixed
from tests.checkpoints.test_code_heads import BASELINE, EM, HP, STEGO
from tests.engine.hooks.test_backbone_checkpoint_hook import assert_holds, load
from tests.models.backbones.builders import tiny_vit


class Prototypes(nn.Module):
    """Parameters of the names and shapes of PrototypeHead's."""

    def __init__(self, num, channels):
        super().__init__()
        self.weight_g = nn.Parameter(torch.full((num, 1, 1, 1), 3.))
        self.weight_v = nn.Parameter(torch.full((num, channels, 1, 1), 3.))

    def _load_from_state_dict(self, state_dict, prefix, *args):
        if not self.weight_v.numel():  # a width of 0 stands for one that is not known
            self.weight_v.data = torch.empty_like(state_dict[f'{prefix}weight_v'])
        super()._load_from_state_dict(state_dict, prefix, *args)


class Segmentor(nn.Module):
    """A model with the parts of PrototypeSegmentor."""

    def __init__(self, neck=None, num=CLASSES, checkpoint=None, channels=None):
        super().__init__()
        channels = (32 if neck is None else 6) if channels is None else channels
        self.backbone = tiny_vit(seed=3, checkpoint=checkpoint)
        if neck is not None:
            self.neck = neck
        self.decode_head = Prototypes(num, channels)
        self.linear_probe = nn.Conv2d(channels, CLASSES, 1)
        self.teacher = nn.ModuleDict(dict(decode_head=Prototypes(num, channels)))


def random_neck(**kwargs):
    return CodeHead(in_channels=32, out_channels=6, **kwargs)


def teacher_of(expected):
    return {f'teacher.{key}': value for key, value in expected.items() if key.startswith('decode_head.')}


BACKBONE = prefixed(tiny_vit().state_dict(), 'backbone.')


@pytest.mark.parametrize(('checkpoint', 'expected', 'ema', 'num'), [
    (stego(), STEGO, False, CLASSES + EXTRA), (hp(), HP, False, CLASSES), (hp(), HP, True, CLASSES)])
def test_stego_and_hp_fill_the_whole_model(checkpoint, expected, ema, num, tmp_path, capsys):
    model = Segmentor(random_neck(ema=ema), num)
    output = load(model, checkpoint, tmp_path, capsys)
    wanted = {key: value for key, value in expected.items() if not key.startswith(
        'neck.head.' if ema else 'neck.ema.')}
    assert_holds(model.state_dict(), {**BACKBONE, **wanted, **teacher_of(expected)})
    assert model.state_dict().keys() == {**BACKBONE, **wanted, **teacher_of(expected)}.keys()
    assert 'do not match' not in output
    assert 'WARNING' not in output


def test_widths_that_the_config_cannot_know_come_from_the_file(tmp_path, capsys):
    model = Segmentor(CodeHead(str(tmp_path / 'not_here.ckpt')), channels=0)
    model.linear_probe = None
    output = load(model, hp(), tmp_path, capsys)
    assert 'are left out' not in output
    wanted = {key: value for key, value in HP.items() if key.startswith(('neck.head.', 'decode_head.'))}
    assert_holds(model.state_dict(), {**BACKBONE, **wanted, **teacher_of(HP)})
    assert model.neck.out_channels == 6


@pytest.mark.parametrize(('baseline', 'expected'), [(False, EM), (True, {**BASELINE, **teacher_of(BASELINE)})])
def test_primaps_fills_running_and_momentum_prototypes(baseline, expected, tmp_path, capsys):
    model = Segmentor()
    output = load(model, primaps(baseline), tmp_path, capsys)
    assert_holds(model.state_dict(), {**BACKBONE, **expected})
    assert 'WARNING' not in output


def test_primaps_on_stego_takes_the_network_from_the_file_of_stego(tmp_path, capsys):
    torch.save(stego(), tmp_path / 'stego.ckpt')
    path, prototypes = str(tmp_path / 'stego.ckpt'), primaps(network=False, dim=6)
    model = Segmentor(CodeHead(path), checkpoint=path)
    load(model, prototypes, tmp_path, capsys)
    state = prototypes['state_dict']
    assert_holds(model.state_dict(), {
        **BACKBONE, **{key: value for key, value in STEGO.items() if key.startswith('neck.')},
        'decode_head.weight_v': state['seghead.weight_v'], 'linear_probe.bias': state['linear_probe.bias'],
        'teacher.decode_head.weight_g': state['cluster_probe.ema_model.weight_g']})
    model.neck(model.backbone(torch.zeros(1, 3, 32, 32)))  # both count as read
    with pytest.raises(BackboneCheckpointError, match=r'weights.ckpt holds no weights of the backbone.*PriMaPs trained '
                                                      r'on STEGO or HP.*set checkpoint=FILE of the STEGO or HP run in'):
        load(Segmentor(CodeHead(path)), prototypes, tmp_path)


def test_a_code_head_is_never_left_random(tmp_path):
    for checkpoint in (tiny_vit().state_dict(), primaps()):
        with pytest.raises(BackboneCheckpointError, match=r'weights\.ckpt holds no weights of the neck.*in neck\.'):
            load(Segmentor(random_neck()), checkpoint, tmp_path)
    torch.save(stego(), tmp_path / 'stego.ckpt')
    model = Segmentor(CodeHead(str(tmp_path / 'stego.ckpt')))
    load(model, tiny_vit(seed=7).state_dict(), tmp_path)  # another backbone, the head of its own file
    assert_holds(model.state_dict(), {key: value for key, value in STEGO.items() if key.startswith('neck.')})
    wide = CodeHead(in_channels=32, out_channels=7)
    with pytest.raises(BackboneCheckpointError, match='has out_channels=6, the neck out_channels=7'):
        load(Segmentor(wide), stego(), tmp_path)


def test_prototypes_of_another_number_are_left_out_but_the_code_head_is_taken(tmp_path, capsys):
    model = Segmentor(random_neck(), num=CLASSES + 4)
    output = load(model, stego(), tmp_path, capsys)
    assert 'The heads of the checkpoint are of other sizes and are left out: decode_head.weight_g' in output
    assert_holds(model.state_dict(), {**BACKBONE, **{
        key: value for key, value in STEGO.items() if key.startswith('neck.')}})
    assert model.decode_head.weight_v.eq(3).all()
