"""Diagnose an installation and suggest fixes: `python -m leopart_mm.doctor`.

`python tools/doctor.py` is the same for a machine on which not even the package can be imported. Standard library only
at import time: everything examined here may be missing.
"""

import importlib
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

MMCV_DISTRIBUTIONS = ('mmcv', 'mmcv-lite', 'onedl-mmcv')
# distribution, lowest version, first version that is too new (None: no bound)
PACKAGES = (('mmengine', '0.10.4', '1.0'), ('mmsegmentation', '1.2.2', '1.3'), ('mmpretrain', '1.2.0', '1.3'),
            ('timm', '1.0.20', None), ('scipy', '1.9', None), ('scikit-image', '0.20', None),
            ('scikit-learn', '1.0', None), ('faiss-cpu', '1.7', None),
            ('infomap', '2.16', None), ('safetensors', '0.3', None))


@dataclass
class Finding:
    """A line of the report; `fix` is empty if nothing is wrong."""

    name: str
    text: str
    fix: str = ''

    def __str__(self) -> str:
        lines = f'[{"!!" if self.fix else "ok"}] {self.name}: {self.text}'
        return lines + (f'\n     fix: {self.fix}' if self.fix else '')


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution; None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.split('+')[0].split('.'):
        digits = ''.join(char for char in part if char.isdigit())
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def check_python() -> Finding:
    version = '.'.join(map(str, sys.version_info[:3]))
    supported = (3, 11) <= tuple(sys.version_info[:2]) <= (3, 13)
    # MMEngine 0.10 uses pkgutil.find_loader, which Python 3.14 dropped.
    return Finding('Python', version, '' if supported else 'use Python 3.11, 3.12 or 3.13')


def check_torch() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding('torch', f'cannot be imported ({error})', 'pip install torch torchvision')
    version = torch.__version__
    if _numbers(version) < (2, 1):
        return Finding('torch', version, 'pip install -U "torch>=2.1" torchvision')
    if torch.cuda.is_available():
        return Finding('torch', f'{version}, GPU {torch.cuda.get_device_name(0)} x{torch.cuda.device_count()}')
    build = f'built for CUDA {torch.version.cuda}' if torch.version.cuda else 'CPU build'
    return Finding('torch', f'{version}, no GPU in use ({build}), {torch.get_num_threads()} threads')


def check_torchvision() -> Finding:
    fix = ('torch and torchvision must come as a pair: pip install --force-reinstall torch torchvision (both from the '
           'same index)')
    try:
        import torch
        import torchvision
        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except Exception as error:
        return Finding('torchvision', f'{version_of("torchvision") or "not installed"} does not work with torch '
                       f'{version_of("torch")} ({type(error).__name__}: {str(error)[:120]})', fix)
    return Finding('torchvision', torchvision.__version__)


def check_mmcv() -> Finding:
    installed = {name: version_of(name) for name in MMCV_DISTRIBUTIONS if version_of(name)}
    lite = 'pip install "mmcv-lite==2.1.0"'
    if not installed:
        return Finding('mmcv', 'not installed', f'{lite} (at once; enough for everything here) or, for compiled '
                       'operators, pip install "mmcv==2.1.0" (compiles for 15 minutes)')
    listed = ', '.join(f'{name} {version}' for name, version in installed.items())
    if len(installed) > 1:
        return Finding('mmcv', f'{listed} are installed over each other',
                       f'pip uninstall -y {" ".join(installed)}, then install one: {lite}')
    try:
        import mmcv
    except Exception as error:
        return Finding('mmcv', f'{listed} cannot be imported ({type(error).__name__}: {str(error)[:120]})',
                       f'pip uninstall -y {" ".join(installed)}; {lite}')
    if not (2, 0) <= _numbers(mmcv.__version__) < (2, 2):
        return Finding('mmcv', listed, f'mmsegmentation 1.2 needs mmcv >= 2.0, < 2.2: {lite}')
    try:
        extension = importlib.import_module('mmcv._ext')
        compiled = not getattr(extension, 'is_leopart_mm_fallback', False)
    except ImportError as error:
        compiled = False
        if 'mmcv-lite' not in installed and 'No module named' not in str(error):
            return Finding('mmcv', f'{listed}: its operators were compiled for another torch ({str(error)[:120]})',
                           f'pip uninstall -y {" ".join(installed)}; {lite}')
    return Finding('mmcv', f'{listed}, ' + ('compiled operators' if compiled else
                                            'no compiled operators: leopart_mm stands in for nms and roi_align'))


def check_pkg_resources() -> Finding:
    version = version_of('setuptools') or 'not installed'
    try:
        importlib.import_module('pkg_resources')
    except ImportError:
        return Finding('setuptools', f'{version} has no pkg_resources, which _base_ = "mmseg::..." in configs needs',
                       'pip install "setuptools<82"')
    return Finding('setuptools', version)


def check_package(name: str, lowest: str, too_new: str | None) -> Finding:
    version = version_of(name)
    requirement = f'{name}>={lowest}' + (f',<{too_new}' if too_new else '')
    if version is None:
        return Finding(name, 'not installed', f'pip install "{requirement}"')
    if _numbers(version) < _numbers(lowest) or (too_new and _numbers(version) >= _numbers(too_new)):
        return Finding(name, version, f'pip install "{requirement}"')
    return Finding(name, version)


def check_opencv() -> Finding:
    try:
        import cv2
    except ImportError as error:
        if 'libGL' in str(error):
            return Finding('opencv', str(error), 'pip install opencv-python-headless (or: apt-get install libgl1)')
        return Finding('opencv', f'cannot be imported ({error})', 'pip install opencv-python')
    return Finding('opencv', cv2.__version__)


def check_leopart_mm() -> Finding:
    try:
        import leopart_mm
        from leopart_mm.registry import MODELS
        vit = MODELS.build(dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224', model_kwargs=dict(depth=1)))
        import mmpretrain.models  # noqa: F401
        import mmseg.models  # noqa: F401
    except Exception as error:
        return Finding('leopart_mm', f'does not work ({type(error).__name__}: {str(error)[:300]})',
                       'fix what is marked above first, then: pip install -e ".[mmcv-lite]"')
    return Finding('leopart_mm', f'{leopart_mm.__version__}, builds a ViT of width {vit.embed_dims}')


def check_machine() -> Finding:
    text = f'{os.cpu_count()} cores, {shutil.disk_usage(".").free / 2**30:.0f} GiB free here'
    if os.path.isdir('/dev/shm'):
        shared = shutil.disk_usage('/dev/shm').free / 2**20
        text += f', {shared:.0f} MiB shared memory'
        if shared < 256:
            return Finding('machine', text, 'data workers pass images through /dev/shm: docker run --shm-size=4g, or '
                           '--cfg-options train_dataloader.num_workers=0 train_dataloader.persistent_workers=False')
    return Finding('machine', text)


def examine() -> list[Finding]:
    """Run every check; a check that raises becomes a finding, never an exception."""
    checks: list[tuple[str, Callable[[], Finding]]] = [('Python', check_python), ('torch', check_torch),
                                                       ('torchvision', check_torchvision), ('mmcv', check_mmcv),
                                                       ('setuptools', check_pkg_resources), ('opencv', check_opencv)]
    checks += [(row[0], lambda row=row: check_package(*row)) for row in PACKAGES]
    checks += [('machine', check_machine), ('leopart_mm', check_leopart_mm)]
    findings = []
    for name, check in checks:
        try:
            findings.append(check())
        except Exception as error:
            findings.append(Finding(name, f'{type(error).__name__}: {error}', 'report this with the lines above'))
    return findings


def main() -> int:
    """Print the report; 0 if all is well, else 1."""
    findings = examine()
    for finding in findings:
        print(finding)
    problems = [finding.name for finding in findings if finding.fix]
    print(f'\n{len(problems)} to fix: {", ".join(problems)}' if problems else '\nAll well.')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
