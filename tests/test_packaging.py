"""A wheel works without the checkout: its command, tools and configs, and configs of others that inherit from it."""

import json
import os
import subprocess
import sys

import pytest

from tests.paths import REPO

NOT_INSTALLED = {'tools/benchmark.py', 'tools/gpu_check.py'}
CONFIG = 'leopart/leopart_dino-vits16_coco.py'
# What needs OpenMMLab's imports, in one process: they take seconds.
CODE = f"""
import json, runpy
import leopart_mm
from mmengine.config import Config
from leopart_mm.apis import folder_run
from leopart_mm.cli.shipped import shipped_folder
from leopart_mm.engine.config import load_config
child = Config.fromfile('child.py')
doctor = runpy.run_path(str(shipped_folder('tools') / 'doctor.py'), run_name='tool')['find_doctor']()
named = [load_config(prefix + '{CONFIG}', dict(data_root='elsewhere')) for prefix in ('configs/', 'leopart_mm::')]
print(json.dumps(dict(package=leopart_mm.__file__, doctor=str(doctor), inherited=[child.model.type, child.seed],
                      files=[str(config.filename) for config in named],
                      places=[config.train_dataloader.dataset.data_root for config in named])))
"""


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """The wheel of the last commit, built as pip builds it."""
    folder = tmp_path_factory.mktemp('wheel')
    subprocess.run(['git', 'clone', '-q', str(REPO), str(folder / 'source')], check=True)
    pip(folder, 'wheel', str(folder / 'source'), '--no-build-isolation', '-w', str(folder))
    wheels = list(folder.glob('leopart_mm-*.whl'))
    assert len(wheels) == 1
    return wheels[0]


def pip(folder, *arguments):
    done = subprocess.run([sys.executable, '-m', 'pip', '-q', '--disable-pip-version-check', *arguments, '--no-deps',
                           '--no-index'], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_a_wheel_works_without_the_checkout(wheel, tmp_path):
    installed, elsewhere = tmp_path / 'installed', tmp_path / 'elsewhere'
    elsewhere.mkdir()
    pip(elsewhere, 'install', str(wheel), '--target', str(installed))
    description = next(installed.glob('*.dist-info')).joinpath('METADATA').read_text()
    assert '\nSummary: Dense self-supervised learning and unsupervised segmentation (Leopart, NeCo, PaKA' in description
    assert not list(installed.rglob('benchmark*'))  # benchmarks compare with published code: a checkout's business
    assert [name for name in tracked('leopart_mm') if not (installed / name).is_file()] == []
    for kind in ('configs', 'tools'):
        missing = {name for name in tracked(kind) if not (installed / 'leopart_mm/.mim' / name).is_file()}
        assert missing == NOT_INSTALLED & set(tracked(kind))

    def run(*command):
        done = subprocess.run([sys.executable, *map(str, command)], cwd=elsewhere, capture_output=True, text=True,
                              check=False, env={**os.environ, 'PYTHONPATH': str(installed)})
        assert done.returncode == 0, done.stderr
        return done.stdout

    command = installed / 'bin' / 'leopart_mm'  # what pip puts on the PATH
    assert '\n  segment_folder ' in run(command)
    assert '--checkpoint' in run(command, 'segment_folder', '--help')
    assert run(command, 'generate_sample', 'scenes', '--images', 2, '--size', 32).startswith('Wrote 1 training')
    assert len(list((elsewhere / 'scenes/JPEGImages').iterdir())) == 2
    (elsewhere / 'child.py').write_text(f"_base_ = ['leopart_mm::{CONFIG}']\nseed = 1\n")
    found = json.loads(run('-c', CODE).splitlines()[-1])
    assert found == dict(
        package=f'{installed}/leopart_mm/__init__.py', doctor=f'{installed}/leopart_mm/doctor.py',
        inherited=['leopart_mm.Leopart', 1], files=[f'{installed}/leopart_mm/.mim/configs/{CONFIG}'] * 2,
        places=['elsewhere'] * 2)


def tracked(folder):
    """Files of a folder that git knows."""
    names = subprocess.run(['git', 'ls-files', '-z', folder], cwd=REPO, capture_output=True, text=True, check=True)
    return [name for name in names.stdout.split('\0') if name]
