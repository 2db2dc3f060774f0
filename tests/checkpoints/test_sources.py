"""Weights from timm's registry, repositories and URLs; nothing here needs a connection."""

import io
import shutil

import pytest
import timm
import torch
from mmengine.runner.checkpoint import CheckpointLoader
from safetensors.torch import load_file, save_file

from leopart_mm.checkpoints.sources import read_checkpoint
from leopart_mm.models.backbones import BackboneCheckpointError, DenseResNet, DenseViT
from tests.checkpoints.layouts import LAYOUTS
from tests.models.backbones.builders import TINY, tiny_vit

NAME = 'vit_tiny_patch16_224.augreg_in21k'
IMAGE = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def offline(*args, **kwargs):
    raise ConnectionError('no route to host')


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    return tmp_path / 'torch' / 'hub' / 'checkpoints'


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """timm's download, from a local file of random weights instead of a server; returns the networks in it."""
    torch.manual_seed(0)
    networks, asked = {}, []
    for repository in (f'timm/{NAME}', 'timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k'):
        networks[repository] = timm.create_model('vit_tiny_patch16_224', num_classes=0).eval()
        save_file(networks[repository].state_dict(), tmp_path / f'{repository.replace("/", "-")}.safetensors')

    def download(repository, *args, **kwargs):
        asked.append(repository)
        return load_file(tmp_path / f'{repository.replace("/", "-")}.safetensors')

    monkeypatch.setattr(timm.models._builder, 'load_state_dict_from_hf', download)
    monkeypatch.setattr(timm.models._builder, 'has_hf_hub', lambda necessary=False: True)
    return networks


def features_of(network):
    return network.forward_features(IMAGE)[:, 1:].mT.unflatten(2, (2, 2))


@torch.no_grad()
def test_timms_weights_by_name(hub):
    vit = DenseViT(checkpoint=f'timm://{NAME}', model_kwargs=dict(img_size=32)).eval()
    assert vit.arch == NAME
    assert (vit.embed_dims, vit.patch_size, vit.mean, vit.std) == (192, 16, (127.5, ) * 3, (127.5, ) * 3)
    with pytest.raises(RuntimeError, match='has not read it yet'):
        vit(IMAGE)
    vit.init_weights()
    source = hub[f'timm/{NAME}']
    assert vit.grid_size == (14, 14)
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in vit.state_dict().items())


@torch.no_grad()
def test_timms_first_weights_where_no_tag_is_given(hub):
    vit = DenseViT(checkpoint='timm://vit_tiny_patch16_224')
    vit.init_weights()
    source = hub['timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k']
    assert torch.equal(vit.pos_embed, source.pos_embed)
    assert not torch.equal(vit.pos_embed, hub[f'timm/{NAME}'].pos_embed)
    # The scheme without a name stands for the weights of the arch.
    same = DenseViT('vit_tiny_patch16_224', checkpoint='timm://')
    same.init_weights()
    assert torch.equal(same.pos_embed, source.pos_embed)
    assert same.mean == vit.mean == (127.5, ) * 3


def test_the_runner_reads_them_too(hub):
    state = CheckpointLoader.load_checkpoint(f'timm://{NAME}', map_location='cpu')
    assert torch.equal(state['cls_token'], hub[f'timm/{NAME}'].cls_token)


def test_a_repository(monkeypatch):
    source, asked = tiny_vit(), []

    def create_model(name, pretrained, **kwargs):
        asked.append((name, pretrained))
        return source

    vit = tiny_vit(seed=1, checkpoint='hf-hub:someone/something')
    monkeypatch.setattr(timm, 'create_model', create_model)
    vit.init_weights()
    assert asked == [('hf-hub:someone/something', True)]
    assert torch.equal(vit(IMAGE)[0], source(IMAGE)[0])


@pytest.mark.parametrize(('name', 'place'), [
    ('timm://vit_small_patch16_224.dino',
     r'download https://dl.fbaipublicfiles.com/dino/.*pth \(arch=vit_small_patch16_224\)'),
    ('timm://vit_small_patch14_dinov2', r'download https://dl.fbaipublicfiles.com/dinov2/'),
    ('timm://', 'download .*S_16'),
    ('hf-hub:someone/something', 'download hf-hub:someone/something'),
    ('https://example.invalid/weights.pth', 'download https://example.invalid/weights.pth'),
])
def test_without_a_connection_the_way_round_is_named(name, place, monkeypatch):
    monkeypatch.setattr(timm, 'create_model', offline)
    monkeypatch.setattr(torch.hub, 'download_url_to_file', offline)
    with pytest.raises(BackboneCheckpointError, match=rf'could not be fetched.*no route to host.*{place}.*'
                       'checkpoint=FILE arch=NAME'):
        read_checkpoint(name, 'vit_small_patch16_224')


@pytest.mark.parametrize(('name', 'message'), [
    ('timm://vit_small_patch16_224.dinno', r"no weights 'vit_small_patch16_224.dinno'. Of .* it has: .*224.dino"),
    ('timm://vit_smal', r"no weights 'vit_smal'.*timm.list_pretrained"),
    ('timm://vit_tiny_patch16_18x2', 'no weights'),  # a network for which nobody published weights
])
def test_names_that_timm_does_not_know(name, message):
    with pytest.raises(BackboneCheckpointError, match=message):
        read_checkpoint(name)


@torch.no_grad()
def test_a_url_is_downloaded_once_and_read_safely(monkeypatch, tmp_path, cache):
    source, downloads = tiny_vit(), []
    torch.save(LAYOUTS['dino_full'](source.state_dict()), tmp_path / 'file.pth')

    def download(url, target):
        downloads.append(url)
        shutil.copy(tmp_path / 'file.pth', target)

    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    urls = ['https://example.invalid/a/checkpoint.pth?download=true', 'https://example.invalid/b/checkpoint.pth']
    for url in (*urls, *urls):
        vit = DenseViT('vit_tiny_patch16_224', TINY, checkpoint=url).eval()
        vit.init_weights()
        assert torch.equal(vit(IMAGE)[0], source(IMAGE)[0])
    assert downloads == urls  # once each: the same file name at another address is another file
    assert sorted(path.name.split('-')[1] for path in cache.iterdir()) == ['checkpoint.pth', 'checkpoint.pth']


def test_a_login_page_does_not_stay_in_the_cache(monkeypatch, cache):

    def download(url, target):
        with open(target, 'w') as file:
            file.write('<!doctype html><title>Sign in</title>')

    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    with pytest.raises(RuntimeError, match=r'web page \(HTML\)'):
        read_checkpoint('https://example.invalid/weights.pth')
    assert list(cache.iterdir()) == []


def test_a_resnet_of_timm(monkeypatch):
    source = timm.create_model('resnet18', num_classes=0)
    net = DenseResNet(18, checkpoint='timm://resnet18')
    monkeypatch.setattr(timm, 'create_model', lambda name, pretrained, **kwargs: source)
    net.init_weights()
    assert torch.equal(net.layer4[1].conv2.weight, source.layer4[1].conv2.weight)


def test_a_buffer_is_a_file_and_no_object():
    buffer = io.BytesIO()
    torch.save(tiny_vit().state_dict(), buffer)
    buffer.seek(0)
    vit = tiny_vit(seed=1)
    assert vit.load_pretrained(buffer).name == 'the given BytesIO'
    assert torch.equal(vit.cls_token, tiny_vit().cls_token)


def test_a_missing_file_is_named_with_the_ways_to_weights():
    with pytest.raises(FileNotFoundError, match=r'nowhere\.pth.*checkpoint=FILE.*timm://vit_tiny_patch16_224 to'):
        tiny_vit().load_pretrained('nowhere.pth')
    with pytest.raises(FileNotFoundError, match=r'nowhere\.pth.*checkpoint=FILE\); checkpoint=None'):
        DenseResNet(18).load_pretrained('nowhere.pth')
