"""A checkpoint of our own training of a DINOv3, with adapters or without, in the hands of other programs."""

import copy

import pytest
import timm
import torch

from leopart_mm.models.backbones import DenseViT
from leopart_mm.models.backbones.low_rank import adapted_layers
from tests.models.backbones.builders import TINY
from tests.models.selfsup.builders import random_batch, tiny_neco
from tests.tools.running import run_tool

PLAIN, BIASED, GATED = 'vit_small_patch16_dinov3', 'vit_small_patch16_dinov3_qkvb', 'vit_small_plus_patch16_dinov3_qkvb'
CASES = [(PLAIN, 'all'), (PLAIN, 'lora_2'), (BIASED, 'lora_2'), (GATED, 'all'), (GATED, 'lora_2'), (BIASED, 'last_1')]
IMAGE = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope='module', params=CASES, ids='-'.join)
def trained(request, tmp_path_factory):
    """Arch, the student's and the teacher's backbone after two steps, and the file as MMEngine's Runner writes it."""
    arch, trainable = request.param
    model = tiny_neco(backbone=dict(arch=arch, model_kwargs=TINY, trainable=trainable, out_indices=(-1, )))
    with torch.no_grad():  # biases and layer scales that count
        for name, value in model.backbone.named_parameters():
            if value.ndim == 1:
                value.normal_(std=0.1, generator=torch.Generator().manual_seed(len(name))).add_(0.5)
    model.reset_teacher()
    start = copy.deepcopy(model.backbone).eval()
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=1e-2)
    for step in range(2):
        model.before_step()
        model(random_batch(2, step), mode='loss')['loss'].backward()
        optimizer.step()
        optimizer.zero_grad()
        model.after_step()
        for target, source in zip(*model.teacher_student_pairs(), strict=True):
            target.data.lerp_(source.data, 0.5)
    file = tmp_path_factory.mktemp('trained') / 'iter_2.pth'
    torch.save(dict(meta=dict(iter=2, mmengine_version='0.10.7'), state_dict=model.state_dict(),
                    optimizer=optimizer.state_dict(), message_hub=dict(log_scalars={})), file)
    student, teacher = model.backbone.eval(), model.teacher.backbone.eval()
    assert bool(list(adapted_layers(student))) == trainable.startswith('lora')
    with torch.no_grad():  # each of the three is another network
        assert len({network(IMAGE)[0].sum().item() for network in (start, student, teacher)}) == 3
    return arch, student, teacher, file


@pytest.fixture
def convert(monkeypatch, capsys, trained, tmp_path):
    def run(target, out, *arguments, source=trained[-1]):
        status, printed, error = run_tool(monkeypatch, capsys, 'convert_checkpoint.py', source, tmp_path / out, '--to',
                                          target, *arguments)
        assert status == 0, error
        return tmp_path / out, printed
    return run


def tokens_of(network):
    """(B, 24, C): patches behind the last norm."""
    return network(IMAGE)[0].flatten(2).mT


@torch.no_grad()
def test_timm_loads_it_strictly_and_computes_the_same(trained, convert):
    arch, student, teacher, _ = trained
    for which, source in (('student', student), ('teacher', teacher)):
        file, printed = convert('timm', f'{which}.pth', '--which', which)
        assert ('LoRA adapters merged' in printed) == (which == 'student' and bool(list(adapted_layers(student))))
        network = timm.create_model(arch, num_classes=0, dynamic_img_size=True, **TINY).eval()
        network.load_state_dict(torch.load(file))
        torch.testing.assert_close(network.forward_features(IMAGE)[:, 5:], tokens_of(source), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_dinov3s_own_layout_is_read_by_timm_and_by_us(trained, convert):
    arch, student, *_ = trained
    official, _ = convert('dinov3', 'dinov3.pth', '--heads', 2)
    network = timm.create_model(arch, num_classes=0, dynamic_img_size=True, **TINY).eval()
    found = timm.models.eva.checkpoint_filter_fn(torch.load(official), network)
    network.load_state_dict({key: value for key, value in found.items() if key in network.state_dict()})
    torch.testing.assert_close(network.forward_features(IMAGE)[:, 5:], tokens_of(student), atol=1e-5, rtol=1e-5)
    again = DenseViT(arch, TINY, checkpoint=str(official)).eval()
    again.init_weights()
    torch.testing.assert_close(tokens_of(again), tokens_of(student), atol=1e-5, rtol=1e-5)
    # And back, bit for bit.
    plain, _ = convert('timm', 'plain.pth')
    back, _ = convert('timm', 'back.pth', source=official)
    plain, back = torch.load(plain), torch.load(back)
    assert plain.keys() == back.keys()
    assert all(torch.equal(plain[key], value) for key, value in back.items())


@torch.no_grad()
def test_transformers_loads_its_folder_and_computes_the_same(trained, convert):
    transformers = pytest.importorskip('transformers', minversion='4.56')
    arch, student, *_ = trained
    folder, _ = convert('hf_dinov3', 'folder', '--heads', 2)
    network, report = transformers.AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not any(report[key] for key in ('missing_keys', 'unexpected_keys', 'mismatched_keys'))
    tokens = network.eval()(IMAGE).last_hidden_state[:, 5:]
    torch.testing.assert_close(tokens, tokens_of(student), atol=1e-5, rtol=1e-5)
    again = DenseViT(arch, TINY, checkpoint=str(folder)).eval()
    again.init_weights()
    torch.testing.assert_close(tokens_of(again), tokens_of(student), atol=1e-5, rtol=1e-5)
