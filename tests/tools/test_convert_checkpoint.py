"""tools/convert_checkpoint.py as a user runs it."""

import pytest
import torch
from safetensors.torch import load_file

from leopart_mm.checkpoints.networks import read_heads
from tests.checkpoints.code_layouts import hp, stego
from tests.checkpoints.test_conversion import assert_equal, heads, leopart_pair
from tests.models.backbones.builders import tiny_vit
from tests.tools.running import run_tool


@pytest.fixture
def convert(monkeypatch, capsys):
    return lambda *arguments: run_tool(monkeypatch, capsys, 'convert_checkpoint.py', *arguments)


def test_a_training_file_to_safetensors_and_back(tmp_path, convert):
    source = leopart_pair()
    torch.save(source, tmp_path / 'leopart.ckpt')
    status, out, error = convert(tmp_path / 'leopart.ckpt', tmp_path / 'new' / 'ours.safetensors', '--to', 'leopart_mm')
    assert status == 0, error
    assert "student: timm layout under the prefix 'state_dict.model.'" in out
    assert 'neck.mlp.4.bias' in load_file(tmp_path / 'new' / 'ours.safetensors')
    status, out, error = convert(tmp_path / 'new' / 'ours.safetensors', tmp_path / 'back.ckpt', '--to', 'leopart')
    assert status == 0, error
    assert_equal(torch.load(tmp_path / 'back.ckpt')['state_dict'], source['state_dict'])
    assert sorted(path.name for path in tmp_path.iterdir()) == ['back.ckpt', 'leopart.ckpt', 'new']


def test_drops_are_printed_files_kept_and_faults_told_in_one_line(tmp_path, convert):
    torch.save(leopart_pair(), tmp_path / 'leopart.ckpt')
    arguments = tmp_path / 'leopart.ckpt', tmp_path / 'vit.pth', '--to', 'timm', '--which', 'teacher'
    status, out, error = convert(*arguments)
    assert status == 0, error
    assert f'No place in this layout for {len(heads())}:' in out
    assert 'state_dict.teacher.prototypes.weight' in out
    assert_equal(torch.load(tmp_path / 'vit.pth'), tiny_vit(seed=5).state_dict())
    status, out, error = convert(*arguments)
    assert status == 1
    assert '--overwrite' in error
    status, out, error = convert(tmp_path / 'none.ckpt', tmp_path / 'other.pth', '--to', 'timm')
    assert status == 1
    assert error.startswith('convert_checkpoint.py: There is no checkpoint file')
    assert error.count('\n') == 1
    assert not (tmp_path / 'other.pth').exists()


@pytest.mark.parametrize('source', [stego, hp])
def test_files_of_stego_and_hp(source, tmp_path, convert):
    torch.save(source(), tmp_path / 'run.ckpt')
    status, out, error = convert(tmp_path / 'run.ckpt', tmp_path / 'ours.pth', '--to', 'leopart_mm')
    assert status == 0, error
    assert 'student: timm layout under the prefix' in out
    assert_equal(read_heads(torch.load(tmp_path / 'ours.pth')), read_heads(source()))
    status, out, error = convert(tmp_path / 'run.ckpt', tmp_path / 'vit.pth', '--to', 'dino')
    assert status == 0, error
    assert_equal(torch.load(tmp_path / 'vit.pth'), tiny_vit().state_dict())
