"""The doctor names each illness and its cure."""

import builtins
import subprocess
import sys

import pytest

from leopart_mm import doctor
from tests.paths import REPO


def without(monkeypatch, *modules):
    """Make importing these modules fail, as where they are not installed."""
    real_import = builtins.__import__

    def fake_import(name, *args, **kwargs):
        if name.split('.')[0] in modules:
            raise ImportError(f'No module named {name!r}')
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', fake_import)


def test_this_machine_is_well():
    findings = doctor.examine()
    assert [str(finding) for finding in findings if finding.fix] == []
    assert {finding.name for finding in findings} >= {'torch', 'torchvision', 'mmcv', 'setuptools', 'leopart_mm'}


def test_no_mmcv(monkeypatch):
    monkeypatch.setattr(doctor, 'version_of', lambda name: None)
    finding = doctor.check_mmcv()
    assert finding.text == 'not installed'
    assert 'mmcv-lite==2.1.0' in finding.fix


def test_both_mmcvs(monkeypatch):
    monkeypatch.setattr(doctor, 'version_of', lambda name: '2.1.0' if name in ('mmcv', 'mmcv-lite') else None)
    finding = doctor.check_mmcv()
    assert 'over each other' in finding.text
    assert 'uninstall -y mmcv mmcv-lite' in finding.fix


def test_too_new_mmcv(monkeypatch):
    import mmcv
    monkeypatch.setattr(doctor, 'version_of', lambda name: '2.2.0' if name == 'mmcv' else None)
    monkeypatch.setattr(mmcv, '__version__', '2.2.0')
    assert '< 2.2' in doctor.check_mmcv().fix


def test_torchvision_mismatch(monkeypatch):
    import torchvision

    def broken(*args):
        raise RuntimeError('operator torchvision::nms does not exist')

    monkeypatch.setattr(torchvision.ops, 'nms', broken)
    finding = doctor.check_torchvision()
    assert 'nms does not exist' in finding.text
    assert 'pair' in finding.fix


def test_no_pkg_resources(monkeypatch):

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(doctor.importlib, 'import_module', missing)
    assert 'setuptools<82' in doctor.check_pkg_resources().fix


def test_opencv_without_libgl(monkeypatch):
    without(monkeypatch, 'cv2')
    assert 'opencv' in doctor.check_opencv().fix


@pytest.mark.parametrize(('version', 'wrong'), [(None, True), ('0.10.3', True), ('0.10.7', False), ('1.0.0rc1', True)])
def test_package_bounds(monkeypatch, version, wrong):
    monkeypatch.setattr(doctor, 'version_of', lambda name: version)
    finding = doctor.check_package('mmengine', '0.10.4', '1.0')
    assert bool(finding.fix) is wrong
    assert not wrong or 'mmengine>=0.10.4,<1.0' in finding.fix


def test_python_version(monkeypatch):
    monkeypatch.setattr(doctor.sys, 'version_info', (3, 14, 0))
    assert '3.13' in doctor.check_python().fix


def test_a_failing_check_is_a_finding(monkeypatch, capsys):

    def crash():
        raise OSError('disk on fire')

    monkeypatch.setattr(doctor, 'check_machine', crash)
    assert doctor.main() == 1
    out = capsys.readouterr().out
    assert '[!!] machine: OSError: disk on fire' in out
    assert '1 to fix: machine' in out


def test_script_runs_without_the_package(tmp_path):
    """In an empty interpreter the script must not crash: everything missing is a finding."""
    run = subprocess.run([sys.executable, '-I', '-S', str(REPO / 'tools' / 'doctor.py')], cwd=tmp_path,
                         capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stderr
    assert '[!!] torch: cannot be imported' in run.stdout
    assert run.stdout.rstrip().splitlines()[-1].endswith('leopart_mm')
