"""What of a backbone is trained: last blocks, or low-rank adapters that are merged wherever a plain network is read."""

import copy

import pytest
import timm
import torch
from torch import nn

from leopart_mm.checkpoints.conversion import convert_checkpoint, to_timm_state_dict
from leopart_mm.checkpoints.low_rank import adapted_weight, merge_low_rank
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.engine.optimizers import BackboneHeadConstructor, LayerDecayConstructor
from leopart_mm.models.backbones.low_rank import LowRank, adapted_layers, merge_adapters, plain_parameters
from leopart_mm.models.backbones.trainable import Trainable
from tests.models.backbones.builders import TINY, tiny_vit

ADAPTED = ['attn.qkv', 'mlp.fc1', 'mlp.fc2']
IMAGE = torch.randn(2, 3, 40, 24, generator=torch.Generator().manual_seed(1))


def trained(vit):
    return {name for name, parameter in vit.named_parameters() if parameter.requires_grad}


def test_hand_computed_weight():
    weight, down, up = torch.tensor([[1., 2.], [3., 4.]]), torch.tensor([[1., -1.]]), torch.tensor([[2.], [0.5]])
    merged = adapted_weight(weight, down, up, torch.tensor(3.))
    assert merged.tolist() == [[7., -4.], [4.5, 2.5]]
    with torch.autocast('cpu', dtype=torch.bfloat16):  # merging is not rounded where training runs in low precision
        rounded = adapted_weight(weight, down * 1.001, up, torch.tensor(3.))
    assert torch.equal(rounded, adapted_weight(weight, down * 1.001, up, torch.tensor(3.)))
    assert not torch.equal(rounded, merged)


@pytest.mark.parametrize(('text', 'expected'), [
    ('all', Trainable()), ('last_12', Trainable(last=12)), ('lora', Trainable(rank=8, alpha=16.)),
    ('lora_4', Trainable(rank=4, alpha=8.)), ('lora_4_0.5', Trainable(rank=4, alpha=0.5))])
def test_words(text, expected):
    assert Trainable.parse(text) == expected


@pytest.mark.parametrize('text', ['last_n', 'last_0', 'lora_0', 'lora_4_0', 'none', 3, 'lora_-1'])
def test_other_words_are_refused_with_the_allowed_ones(text):
    with pytest.raises(ValueError, match="'last_4', the number of last"):
        Trainable.parse(text)


def test_last_blocks_alone():
    vit = tiny_vit(trainable='last_2')
    assert trained(vit) == {name for name, _ in vit.named_parameters() if name.startswith(('blocks.1.', 'blocks.2.'))}
    with pytest.raises(ValueError, match='has 3 blocks'):
        tiny_vit(trainable='last_4')
    with pytest.raises(ValueError, match='leave two at their defaults'):
        tiny_vit(trainable='last_1', frozen_stages=1)


def test_lora_changes_nothing_at_the_start_and_trains_adapters_alone():
    plain, vit = tiny_vit(), tiny_vit(trainable='lora_4').train()
    vit.load_pretrained(plain.state_dict())
    torch.testing.assert_close(vit.eval()(IMAGE), plain(IMAGE), rtol=0, atol=0)
    assert trained(vit) == {f'blocks.{block}.{layer}.parametrizations.weight.0.lora_{part}'
                            for block in range(3) for layer in ADAPTED for part in 'AB'}
    vit.train()
    assert vit.blocks[0].training
    assert not vit.norm.training
    vit(IMAGE)[0].square().sum().backward()
    assert all(layer.parametrizations.weight[0].lora_B.grad.any() for layer in adapted_layers(vit))


def test_lora_with_frozen_stages_or_chosen_blocks():
    for kwargs, blocks in ((dict(frozen_stages=2), {2}), (dict(trainable_blocks=[0, 2]), {0, 2})):
        vit = tiny_vit(trainable='lora', **kwargs).train()
        assert {int(name.split('.')[1]) for name in trained(vit)} == blocks
        assert [block.training for block in vit.blocks] == [index in blocks for index in range(3)]


def filled_lora(**kwargs):
    """Adapters that change the network much."""
    return tiny_vit(trainable='lora_4', **kwargs)


@pytest.mark.parametrize(('arch', 'kwargs'), [
    ('vit_tiny_patch16_224', {}),
    ('vit_small_patch14_reg4_dinov2', {}),
    ('vit_tiny_patch16_224', dict(with_cp=True)),
])
def test_merged_network_is_equal(arch, kwargs):
    vit = filled_lora(arch=arch, **kwargs)
    expected = vit.forward_dense(IMAGE, cls_attention=True, qkv_block=1)
    base = tiny_vit(arch=arch)
    base.load_state_dict({name: value for name, value in vit.state_dict().items()})
    merged = merge_adapters(copy.deepcopy(vit))
    assert not list(adapted_layers(merged))
    assert type(merged.blocks[0].attn.qkv) is nn.Linear
    assert len(list(adapted_layers(vit))) == 9  # copies share a class of torch's
    torch.testing.assert_close(vit(IMAGE)[0], expected.maps[-1])
    assert list(merged.state_dict()) == list(tiny_vit(arch=arch).state_dict())
    for network in (base, merged):
        found = network.forward_dense(IMAGE, cls_attention=True, qkv_block=1)
        for name in ('cls_token', 'cls_attention', 'q', 'k', 'v'):
            torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=1e-5)
        torch.testing.assert_close(found.maps[-1], expected.maps[-1], rtol=0, atol=1e-5)
    vit_without = tiny_vit(arch=arch)  # the adapters matter
    state = {name: value for name, value in vit.state_dict().items() if '.0.lora' not in name and 'scale' not in name}
    vit_without.load_state_dict({name.replace('parametrizations.weight.original', 'weight'): value
                                 for name, value in state.items()})
    assert (vit_without(IMAGE)[0] - expected.maps[-1]).abs().max() > 0.1


def test_exports_are_plain_files(tmp_path):
    vit = filled_lora()
    checkpoint = dict(state_dict={f'backbone.{name}': value for name, value in vit.state_dict().items()})
    torch.save(checkpoint, tmp_path / 'epoch_1.pth')
    state = to_timm_state_dict(tmp_path / 'epoch_1.pth')
    network = timm.create_model('vit_tiny_patch16_224', num_classes=0, **TINY).eval()
    network.load_state_dict(state)
    square = IMAGE[..., :32, :1].expand(2, 3, 32, 32)
    torch.testing.assert_close(network.forward_features(square)[:, 1:], vit(square)[0].flatten(2).mT, rtol=0, atol=1e-5)
    conversion = convert_checkpoint(checkpoint, 'leopart_mm')
    assert conversion.read_as == [
        "student: timm layout under the prefix 'state_dict.backbone.', LoRA adapters merged into 9 weights"]
    assert not [name for name in conversion.checkpoint['state_dict'] if 'lora' in name]
    assert conversion.dropped == []


def test_checkpoints_of_other_adapters_and_of_none_are_merged_and_adapters_begin_anew():
    source, expected = filled_lora(), None
    expected = source(IMAGE)[0]
    other = tiny_vit(seed=3, trainable='lora_2')
    report = other.load_pretrained(dict(state_dict=source.state_dict()))
    assert 'LoRA adapters merged into 9 weights' in report.summary()
    torch.testing.assert_close(other(IMAGE)[0], expected, rtol=0, atol=1e-5)
    assert not any(layer.parametrizations.weight[0].lora_B.any() for layer in adapted_layers(other))
    again = tiny_vit(seed=4, trainable='lora_2')
    again.load_state_dict(source.state_dict())  # another rank
    torch.testing.assert_close(again(IMAGE)[0], expected, rtol=0, atol=1e-5)
    same = tiny_vit(seed=5, trainable='lora_4')
    same.load_state_dict(source.state_dict())  # its own
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in same.state_dict().items())


def test_an_incomplete_adapter_is_refused():
    state = filled_lora().state_dict()
    del state['blocks.1.attn.qkv.parametrizations.weight.0.scale']
    with pytest.raises(BackboneCheckpointError, match=r'blocks\.1\.attn\.qkv\.weight without .*scale'):
        merge_low_rank(state)


def test_a_network_without_the_layers_and_a_rank_above_its_width_are_refused():
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.mixer = nn.Linear(4, 4)

    from leopart_mm.models.backbones.low_rank import add_low_rank
    with pytest.raises(ValueError, match='Other of this network has no linear layer to adapt in attn and mlp; its '
                                         'linear layers are mixer'):
        add_low_rank(nn.ModuleList([Other()]), [Other()], 8, 16.)
    with pytest.raises(ValueError, match=r'rank is above the width 32 of attn\.qkv'):
        tiny_vit(trainable='lora_33')


class Whole(nn.Module):
    def __init__(self, trainable):
        super().__init__()
        self.backbone, self.decode_head = tiny_vit(trainable=trainable), nn.Linear(32, 2)


def test_optimisers_see_adapters_of_each_depth():
    model = Whole('lora_4')
    groups = BackboneHeadConstructor(dict(optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.1)),
                                     dict(head_lr=1e-2))(model).optimizer.param_groups
    assert {group['name']: len(group['params']) for group in groups} == {
        'backbone_decay': 18, 'head_decay': 1, 'head_no_decay': 1}
    wrapper = LayerDecayConstructor(dict(optimizer=dict(type='AdamW', lr=1., weight_decay=0.1)),
                                    dict(layer_decay_rate=0.5))(model)
    rates = {}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group in wrapper.optimizer.param_groups:
        rates.update({names[id(parameter)]: group['lr'] for parameter in group['params'] if parameter.requires_grad})
    found = {name.split('.')[2]: rate for name, rate in rates.items() if 'lora_A' in name}
    assert found == {'0': 0.125, '1': 0.25, '2': 0.5}
    assert rates['decode_head.weight'] == 1.


def test_plain_parameters_are_those_in_force():
    vit = filled_lora()
    found, merged = plain_parameters(vit), merge_adapters(copy.deepcopy(vit)).state_dict()
    assert found.keys() == merged.keys()
    assert all(torch.equal(found[name], merged[name]) for name in found)


def test_scale_is_alpha_by_rank():
    adapter = LowRank(torch.zeros(5, 3), rank=2, alpha=8.)
    with torch.no_grad():
        adapter.lora_B.fill_(1.)
    torch.testing.assert_close(adapter(torch.zeros(5, 3)), 4 * adapter.lora_A.sum(0).expand(5, 3))
