"""A wheel brings configs and tools, and other projects' configs can inherit from it."""

import os
import subprocess
import sys
import zipfile

import pytest

from tests.paths import REPO


@pytest.mark.slow
def test_wheel_holds_configs_that_others_inherit(tmp_path):
    source = tmp_path / 'source'
    subprocess.run(['git', 'clone', '-q', str(REPO), str(source)], check=True)
    done = subprocess.run([sys.executable, '-m', 'pip', 'wheel', str(source), '--no-deps', '--no-build-isolation', '-q',
                           '-w', str(tmp_path)], capture_output=True, text=True, check=False)
    wheels = list(tmp_path.glob('leopart_mm-*.whl'))
    assert len(wheels) == 1, done.stderr[-2000:]
    installed = tmp_path / 'installed'
    with zipfile.ZipFile(wheels[0]) as archive:
        archive.extractall(installed)
    assert (installed / 'leopart_mm/.mim/tools/train.py').is_file()
    assert len(list((installed / 'leopart_mm/visualization').glob('cluster_page.*'))) == 4  # its page is of three files
    assert not list(installed.rglob('benchmark*'))  # benchmarks compare with published code: a checkout's business
    description = next(installed.glob('*.dist-info')).joinpath('METADATA').read_text()
    assert '\nSummary: Dense self-supervised learning and unsupervised segmentation (Leopart, NeCo)' in description
    (tmp_path / 'child.py').write_text("_base_ = ['leopart_mm::leopart/leopart_dino-vits16_coco.py']\nseed = 1\n")
    code = ('import leopart_mm; from mmengine.config import Config; cfg = Config.fromfile("child.py"); '
            'print(leopart_mm.__file__, cfg.model.type, cfg.seed)')
    run = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=False,
                         env={**os.environ, 'PYTHONPATH': str(installed)})
    assert run.stdout.split()[-3:] == [f'{installed}/leopart_mm/__init__.py', 'leopart_mm.Leopart', '1'], run.stderr
