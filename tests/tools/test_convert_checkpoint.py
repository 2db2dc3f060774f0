"""tools/convert_checkpoint.py as a user runs it."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from tests.models.backbones.builders import tiny_vit
from tests.models.test_checkpoint_conversion import assert_equal, heads, leopart_pair
from tests.paths import REPO


def convert(*arguments):
    return subprocess.run([sys.executable, 'tools/convert_checkpoint.py', *map(str, arguments)], cwd=REPO, text=True,
                          capture_output=True, check=False)


@pytest.mark.slow
def test_a_training_file_to_safetensors_and_back(tmp_path):
    source = leopart_pair()
    torch.save(source, tmp_path / 'leopart.ckpt')
    done = convert(tmp_path / 'leopart.ckpt', tmp_path / 'new' / 'ours.safetensors', '--to', 'leopart_mm')
    assert done.returncode == 0, done.stderr
    assert "student: timm layout under the prefix 'state_dict.model.'" in done.stdout
    assert 'neck.mlp.4.bias' in load_file(tmp_path / 'new' / 'ours.safetensors')
    done = convert(tmp_path / 'new' / 'ours.safetensors', tmp_path / 'back.ckpt', '--to', 'leopart')
    assert done.returncode == 0, done.stderr
    assert_equal(torch.load(tmp_path / 'back.ckpt')['state_dict'], source['state_dict'])
    assert sorted(path.name for path in tmp_path.iterdir()) == ['back.ckpt', 'leopart.ckpt', 'new']


@pytest.mark.slow
def test_drops_are_printed_files_kept_and_faults_told_in_one_line(tmp_path):
    torch.save(leopart_pair(), tmp_path / 'leopart.ckpt')
    arguments = tmp_path / 'leopart.ckpt', tmp_path / 'vit.pth', '--to', 'timm', '--which', 'teacher'
    done = convert(*arguments)
    assert done.returncode == 0, done.stderr
    assert f'No place in this layout for {len(heads())}:' in done.stdout
    assert 'state_dict.teacher.prototypes.weight' in done.stdout
    assert_equal(torch.load(tmp_path / 'vit.pth'), tiny_vit(seed=5).state_dict())
    done = convert(*arguments)
    assert done.returncode == 1
    assert '--overwrite' in done.stderr
    done = convert(tmp_path / 'none.ckpt', tmp_path / 'other.pth', '--to', 'timm')
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith('There is no checkpoint file')
    assert not (tmp_path / 'other.pth').exists()
